package transfer

import "time"

// While a folder is copied, one file is closed after the other, and who copies waits for
// each close. Uploads of small files beside that take the disk and the processor from it, and
// could not end sooner than a moment after it anyway: they are held until no file was closed
// for closePause, but no longer than holdLongest.
const (
	closePause  = 100 * time.Millisecond
	holdLongest = 2 * time.Second
)

// held is the tickets that wait for closes to pause.
type held struct {
	closed  time.Time // the latest close
	tickets []*ticket
	timer   *time.Timer
}

// noteClose says that a file was closed.
func (e *Engine) noteClose() {
	now := time.Now()
	e.queue.mu.Lock()
	e.queue.held.closed = now
	e.queue.mu.Unlock()
	e.sender.noteClose(now)
}

// mayHold says whether a ticket that is due may wait while files are closed.
func (q *queue) mayHold(t *ticket, patient bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.patient = patient
}

// hold puts a ticket that is due aside while files are being closed. It tells whether it
// did. The caller holds q.mu.
func (q *queue) hold(t *ticket) bool {
	if !t.patient || t.run == nil || t.running || time.Since(q.held.closed) >= closePause {
		return false
	}
	t.patient, t.held = false, true
	t.due = t.due.Add(holdLongest)
	q.held.tickets = append(q.held.tickets, t)
	if q.held.timer == nil {
		q.held.timer = time.AfterFunc(closePause, q.unhold)
	}
	return true
}

// unhold starts what was held for long enough.
func (q *queue) unhold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := &q.held
	now := time.Now()
	paused := now.Sub(h.closed) >= closePause
	keep := h.tickets[:0]
	for _, t := range h.tickets {
		switch {
		case !t.held || t.run == nil: // hastened meanwhile, or done
		case paused || !now.Before(t.due):
			t.held, t.due = false, now
			q.start(t)
		default:
			keep = append(keep, t)
		}
	}
	clear(h.tickets[len(keep):])
	h.tickets, h.timer = keep, nil
	if len(keep) > 0 && !q.shutting {
		h.timer = time.AfterFunc(closePause, q.unhold)
	}
}
