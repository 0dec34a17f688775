package transfer

import (
	"slices"
	"sync"
	"time"

	"s3mount/cache"
)

// fetchSlots lets the requests of a mount run that nobody waits for yet: as many at once as fill
// the link. More would bring no bytes sooner: they would stand in line on it, in front of what
// everybody else asks for.
//
// A request whose rest comes within a round trip leaves its place to the next one, whose answer
// takes as long: else the link would be idle after requests that end together.
type fetchSlots struct {
	width func() int // how many fill the link

	mu      sync.Mutex
	active  int             // requests that have a place
	ending  int             // requests that have left theirs, and have not ended
	waiting []chan struct{} // in the order in which they came; closed when it is their turn
}

// fetchPlace is that of one request.
type fetchPlace struct {
	slots *fetchSlots
	early *time.Timer // leaves it before the answer is there; may be nil

	// Guarded by slots.mu.
	left, ended bool
}

// take waits for a place; nil: somebody waits for the flight, or it has ended.
func (s *fetchSlots) take(flight *cache.Flight) *fetchPlace {
	select {
	case <-flight.Urgent():
		return nil
	default:
	}
	turn := make(chan struct{})
	s.mu.Lock()
	s.waiting = append(s.waiting, turn)
	s.dispatch()
	s.mu.Unlock()
	select {
	case <-turn:
		return &fetchPlace{slots: s}
	case <-flight.Urgent():
	case <-flight.Context().Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, turn); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	} else { // its turn has come meanwhile
		s.active--
		s.dispatch()
	}
	return nil
}

// dispatch lets run what there is room for. The caller holds s.mu.
func (s *fetchSlots) dispatch() {
	for width := s.width(); len(s.waiting) > 0 && s.active < width && s.active+s.ending < 2*width; {
		close(s.waiting[0])
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		s.active++
	}
}

// leaveAfter leaves the place to the next request after so long.
func (p *fetchPlace) leaveAfter(d time.Duration) { p.early = time.AfterFunc(d, p.leave) }

// leave gives the place to the next request, and may be called again.
func (p *fetchPlace) leave() {
	s := p.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.left || p.ended {
		return
	}
	p.left = true
	s.active--
	s.ending++
	s.dispatch()
}

// end says that the request has ended.
func (p *fetchPlace) end() {
	if p.early != nil {
		p.early.Stop()
	}
	s := p.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	p.ended = true
	if p.left {
		s.ending--
	} else {
		s.active--
	}
	s.dispatch()
}

// missingRun is the part of a flight that comes from the bucket.
type missingRun struct {
	*cache.Flight
	end int64

	place *fetchPlace // nil: it has none, or has left it
	trip  time.Duration
	began time.Time // of the body
	came  int64     // bytes since
}

// at has the run leave its place when the rest of its n bytes will come within a round trip, which
// may be before the answer.
func (m *missingRun) at(place *fetchPlace, n int64, link *fetchLink) {
	m.place, m.trip = place, link.RoundTrip()
	if each := link.Each(); each > 0 && float64(n)/float64(each) < m.trip.Seconds() {
		place.leaveAfter(time.Duration(float64(n) / float64(each) * float64(time.Second)))
	}
}

func (m *missingRun) Range() (off, n int64) {
	off, n = m.Flight.Range()
	return off, min(n, max(m.end-off, 0))
}

func (m *missingRun) Advance(n int) error {
	err := m.Flight.Advance(n)
	if m.place == nil {
		return err
	}
	if m.began.IsZero() {
		m.began = time.Now()
	}
	m.came += int64(n)
	took := max(time.Since(m.began), m.trip/4) // the first ones may come all at once
	if _, left := m.Range(); float64(left)*float64(took) <= float64(m.came)*float64(m.trip) {
		m.place.leave()
		m.place = nil
	}
	return err
}
