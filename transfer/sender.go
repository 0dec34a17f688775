package transfer

import (
	"sync"
	"time"

	"s3mount/transfer/plan"
)

const (
	// bulkFrom is the size from which a request counts as bulk: its time on the link
	// is more than the wait for its answer.
	bulkFrom = 1 << 20
	// smallAtOnce is how many smaller requests are in flight at once, and copyAtOnce
	// how many that the server answers by copying.
	smallAtOnce = 64
	copyAtOnce  = 16
	// While files are being closed one after the other (closePause), at least smallBeside small requests are in flight, and one more for each
	// smallQueue that wait: who copies a folder waits for closes, and nobody for the requests.
	smallBeside = 8
	smallQueue  = 16
)

// kind is what a request costs: time on the link, a wait for the answer, or work of
// the server.
type kind uint8

const (
	bulk kind = iota
	small
	copied
	kinds
)

// kindOf is that of a request that carries size bytes.
func kindOf(size int64) kind {
	if size < bulkFrom {
		return small
	}
	return bulk
}

// sender runs the requests that carry bytes to the bucket, in the order in which
// they became ready. As many large ones send at once as fill the link; those that
// have sent all and wait for their answers leave their place to others, so that no
// pause of the server is one of the link.
type sender struct {
	fixed int // large requests at once; 0: as the window says

	mu     sync.Mutex
	began  time.Time // of the clock of window, which nobody sets
	window plan.Window
	lanes  [kinds]lane
	closed time.Time // of a file, the latest
	wg     sync.WaitGroup
}

// noteClose says that a file was closed.
func (s *sender) noteClose(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = now
}

// lane is a line of requests of one kind.
type lane struct {
	active  int // requests that send
	waiting int // requests that have sent all, and wait
	jobs    []sendJob
}

type sendJob struct {
	size int64
	run  sendFunc
}

// sendFunc runs a request, calls sent when the transport has all of its bytes, and
// tells whether the bucket took them.
type sendFunc func(sent func()) bool

// submit queues a request of size bytes.
func (s *sender) submit(k kind, size int64, run sendFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes[k].jobs = append(s.lanes[k].jobs, sendJob{size, run})
	s.dispatch(k)
}

// do runs a request in its turn, and returns when it has ended.
func (s *sender) do(k kind, size int64, run sendFunc) {
	done := make(chan struct{})
	s.submit(k, size, func(sent func()) bool {
		defer close(done)
		return run(sent)
	})
	<-done
}

func (s *sender) width(k kind) int {
	switch {
	case k == small && time.Since(s.closed) < closePause:
		return min(smallBeside+len(s.lanes[small].jobs)/smallQueue, smallAtOnce)
	case k == small:
		return smallAtOnce
	case k == copied:
		return copyAtOnce
	case s.fixed > 0:
		return s.fixed
	}
	return s.window.Width()
}

// dispatch starts what there is room for. The caller holds s.mu.
func (s *sender) dispatch(k kind) {
	l := &s.lanes[k]
	for width := s.width(k); l.active < width && l.active+l.waiting < 2*width && len(l.jobs) > 0; {
		j := l.jobs[0]
		l.jobs[0] = sendJob{}
		l.jobs = l.jobs[1:]
		l.active++
		s.wg.Go(func() { s.run(k, j) })
	}
}

func (s *sender) run(k kind, j sendJob) {
	l := &s.lanes[k]
	var waits, ended bool
	taken := j.run(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if k == bulk && !waits && !ended { // a transport may go on behind a request that failed
			waits = true
			l.active--
			l.waiting++
			s.dispatch(k)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	ended = true
	if k == bulk && taken {
		if s.began.IsZero() {
			s.began = time.Now()
		}
		s.window.Done(int64(time.Since(s.began)), j.size, len(l.jobs) > 0)
	}
	if waits {
		l.waiting--
	} else {
		l.active--
	}
	s.dispatch(k)
}
