package transfer

import (
	"testing"
	"testing/synctest"
	"time"
)

// closing notes a close every half of closePause, for as long.
func closing(e *Engine, as time.Duration) {
	for end := time.Now().Add(as); time.Now().Before(end); time.Sleep(closePause / 2) {
		e.noteClose()
	}
}

// TestHold: what is due waits while files are closed, until they pause, until the limit, or
// until somebody waits for it.
func TestHold(t *testing.T) {
	const settle = time.Second
	for name, c := range map[string]struct {
		closing    time.Duration // for how long files are closed
		hasten     time.Duration // when somebody waits; 0: nobody
		impatient  bool
		from, till time.Duration // when the ticket runs
	}{
		"nothing else is closed":  {0, 0, false, settle, settle},
		"until closes pause":      {settle * 3 / 2, 0, false, settle * 3 / 2, settle*3/2 + 2*closePause},
		"no longer than that":     {time.Minute, 0, false, settle + holdLongest, settle + holdLongest + closePause},
		"somebody waits":          {time.Minute, settle * 3 / 2, false, settle * 3 / 2, settle * 3 / 2},
		"somebody waits at first": {time.Minute, settle / 2, false, settle / 2, settle / 2},
		"a large file":            {time.Minute, 0, true, settle, settle},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &Engine{queue: newQueue(), sender: &sender{}}
				began := time.Now()
				var ran time.Duration
				var x *ticket
				x = e.queue.add(settle, func(*ticket) { ran = time.Since(began); e.queue.done(x) }, "k")
				e.queue.mayHold(x, !c.impatient)
				if c.hasten > 0 {
					time.AfterFunc(c.hasten, func() { e.queue.hasten(x) })
				}
				closing(e, c.closing)
				<-x.gone
				if ran < c.from || ran > c.till {
					t.Errorf("ran after %v, want %v to %v", ran, c.from, c.till)
				}
				e.queue.shut()
			})
		})
	}
}

// TestHeldFails: a ticket that was hastened out of the line, and failed, keeps its pause.
func TestHeldFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{queue: newQueue(), sender: &sender{}}
		began := time.Now()
		var ran []time.Duration
		var x *ticket
		x = e.queue.add(time.Second, func(*ticket) {
			if ran = append(ran, time.Since(began)); len(ran) == 1 {
				e.queue.failed(x, time.Minute, errTimeout)
				return
			}
			e.queue.done(x)
		}, "k")
		e.queue.mayHold(x, true)
		time.AfterFunc(1200*time.Millisecond, func() { e.queue.hasten(x) })
		closing(e, 1500*time.Millisecond)
		<-x.gone
		if len(ran) != 2 || ran[0] != 1200*time.Millisecond || ran[1] != ran[0]+time.Minute {
			t.Errorf("ran after %v, want 1.2 s and a minute later", ran)
		}
	})
}
