package transfer

import (
	"errors"
	"slices"
	"time"
)

// share gives t, or a ticket with those keys when it is nil, a place in the queue of a
// key that it only copies from. Such tickets may follow each other; it refuses when
// anything else is at the key, since that would come before the copy.
func (q *queue) share(t *ticket, source string, delay time.Duration, run func(*ticket), keys ...string) (*ticket, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, x := range q.byKey[source] {
		if !slices.Contains(x.copies, source) {
			return t, false
		}
	}
	for top := range q.noCopies {
		if below(source, top) {
			return t, false
		}
	}
	if t == nil {
		t = q.addLocked(delay, run, keys)
	}
	q.copyFrom(t, source)
	return t, true
}

// copiesFrom is share for who had that place before.
func (q *queue) copiesFrom(t *ticket, sources ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, source := range sources {
		q.copyFrom(t, source)
	}
}

// copyFrom needs q.mu.
func (q *queue) copyFrom(t *ticket, source string) {
	if !slices.Contains(t.keys, source) {
		t.copies = append(t.copies, source)
		q.join(t, []string{source})
	}
}

// forbid lets share refuse what is at key or below it until allow is called.
func (q *queue) forbid(key string) (allow func()) {
	note := func(n int) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.noCopies[key] += n; q.noCopies[key] == 0 {
			delete(q.noCopies, key)
		}
	}
	note(1)
	return func() { note(-1) }
}

// delay sets when a ticket that does not run is due.
func (q *queue) delay(t *ticket, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !t.running && t.run != nil {
		q.schedule(t, d)
	}
}

// failed is retry for a ticket that met an error, and tells those that wait for it.
// What patience does not mend holds nobody up at the keys that it copies from.
func (q *queue) failed(t *ticket, delay time.Duration, err error) {
	q.mu.Lock()
	t.err = err
	if !mendable(err) {
		q.leave(t)
	}
	close(q.failure)
	q.failure = make(chan struct{})
	q.mu.Unlock()
	q.retry(t, delay)
}

// leave takes the ticket out of the queues of what it copies from. The caller holds
// q.mu.
func (q *queue) leave(t *ticket) {
	if t.run == nil {
		return
	}
	for _, k := range t.copies {
		t.keys = slices.DeleteFunc(t.keys, func(x string) bool { return x == k })
		q.remove(t, k)
	}
	t.copies = nil
}

// remove takes the ticket out of one queue, and lets the next one start. The caller
// holds q.mu.
func (q *queue) remove(t *ticket, k string) {
	list := slices.DeleteFunc(q.byKey[k], func(x *ticket) bool { return x == t })
	if len(list) == 0 {
		delete(q.byKey, k)
		return
	}
	q.byKey[k] = list
	q.start(list[0])
}

// blocked is the error of a ticket ahead of t that waits for its next try, and a
// channel that is closed when the next one fails.
func (q *queue) blocked(t *ticket) (failure <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range t.keys {
		for _, x := range q.byKey[k] {
			if x == t {
				break
			}
			if !x.running {
				err = errors.Join(err, x.err)
			}
		}
	}
	return q.failure, err
}
