package transfer

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSenderLeavesWaitersAside: a request that has sent all and waits for its answer
// lets the next one send, but not for ever.
func TestSenderLeavesWaitersAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{fixed: 2}
		var mu sync.Mutex
		begun := 0
		answer := make(chan struct{})
		for range 10 {
			s.submit(bulk, 8<<20, func(sent func()) bool {
				mu.Lock()
				begun++
				mu.Unlock()
				sent()
				sent() // of a repetition
				<-answer
				return true
			})
		}
		synctest.Wait()
		if begun != 4 {
			t.Errorf("%d requests while none is answered, want 4: twice as many as send at once", begun)
		}
		close(answer)
		s.wg.Wait()
		if l := s.lanes[bulk]; begun != 10 || l.active != 0 || l.waiting != 0 {
			t.Errorf("in the end %d begun, %d active, %d waiting", begun, l.active, l.waiting)
		}
	})
}

// TestSenderSentTooLate: the transport may take bytes of a request that has failed.
func TestSenderSentTooLate(t *testing.T) {
	s := &sender{fixed: 1}
	var late func()
	s.do(bulk, 8<<20, func(sent func()) bool {
		late = sent
		return false
	})
	s.wg.Wait()
	late()
	if l := s.lanes[bulk]; l.active != 0 || l.waiting != 0 {
		t.Errorf("%d active, %d waiting", l.active, l.waiting)
	}
}

// TestSenderMakesWayForCloses: few small requests are sent while somebody closes one file after
// the other, more the more of them wait, and all that there is room for afterwards.
func TestSenderMakesWayForCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{}
		var begun atomic.Int64
		answer := make(chan struct{})
		submit := func(n int) int64 {
			for range n {
				s.submit(small, 100<<10, func(func()) bool {
					begun.Add(1)
					<-answer
					return true
				})
			}
			synctest.Wait()
			return begun.Load()
		}
		s.noteClose(time.Now())
		if n := submit(smallBeside + 1); n != smallBeside {
			t.Errorf("%d requests while files are closed, want %d", n, smallBeside)
		}
		if n := submit(20 * smallQueue); n < smallBeside+10 || n >= smallAtOnce {
			t.Errorf("%d requests when many wait, want more", n)
		}
		time.Sleep(closePause)
		if n := submit(1); n != smallAtOnce {
			t.Errorf("%d requests when no file was closed for a while, want %d", n, smallAtOnce)
		}
		close(answer)
		s.wg.Wait()
	})
}
