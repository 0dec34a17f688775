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
	slots  *fetchSlots
	counts *int // active or ending of slots, whose lock guards it; nil: it does not count any more
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
		return &fetchPlace{slots: s, counts: &s.active}
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

// leave gives the place to the next request: the rest comes within a round trip.
func (p *fetchPlace) leave() { p.count(&p.slots.active, &p.slots.ending) }

// forget says that the request has ended, or stands still: it is none of those that fill the link.
func (p *fetchPlace) forget() {
	p.leave()
	p.count(&p.slots.ending, nil)
}

// count counts the request as something else, if that is what it counts as.
func (p *fetchPlace) count(from, to *int) {
	s := p.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.counts != from {
		return
	}
	*from--
	if p.counts = to; to != nil {
		*to++
	}
	s.dispatch()
}

// missingRun is the part of a flight that comes from the bucket.
type missingRun struct {
	*cache.Flight
	end int64

	place    *fetchPlace // nil: it has none
	trip     time.Duration
	early    *time.Timer // leaves the place before the answer is there; nil: it comes first
	still    *time.Timer // gives the place up when nothing comes for so long:
	patience time.Duration
	began    time.Time // of the body
	came     int64     // bytes since
}

// at has the run leave its place when the rest of its n bytes will come within a round trip, which
// may be before the answer, and give it up when it stands still. over follows.
func (m *missingRun) at(place *fetchPlace, n int64, link *fetchLink) {
	m.place, m.trip, m.patience = place, link.RoundTrip(), link.Patience()
	m.still = time.AfterFunc(m.patience, place.forget)
	if each := link.Each(); each > 0 && float64(n)/float64(each) < m.trip.Seconds() {
		m.early = time.AfterFunc(time.Duration(float64(n)/float64(each)*float64(time.Second)), place.leave)
	}
}

func (m *missingRun) over() {
	m.still.Stop()
	if m.early != nil {
		m.early.Stop()
	}
	m.place.forget()
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
	m.still.Reset(m.patience)
	if m.began.IsZero() {
		m.began = time.Now()
	}
	m.came += int64(n)
	took := max(time.Since(m.began), m.trip/4) // the first ones may come all at once
	if _, left := m.Range(); float64(left)*float64(took) <= float64(m.came)*float64(m.trip) {
		m.place.leave()
	}
	return err
}
