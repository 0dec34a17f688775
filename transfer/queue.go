package transfer

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue keeps the operations on each key in the order in which they were asked
// for: one runs only when no earlier one touches any of its keys. Since all keys
// follow the one global order, no two operations ever wait for each other.
type queue struct {
	mu       sync.Mutex
	next     uint64
	byKey    map[string][]*ticket // in order of seq
	shutting bool
	wg       sync.WaitGroup
}

// ticket is the place of one operation in the queues of its keys.
type ticket struct {
	seq     uint64
	keys    []string
	due     time.Time
	timer   *time.Timer
	running bool
	run     func() // called in its own goroutine; ends with done or retry
}

func newQueue() *queue { return &queue{byKey: map[string][]*ticket{}} }

// add puts a ticket at the end of the queues of its keys.
func (q *queue) add(delay time.Duration, run func(), keys ...string) *ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next++
	t := &ticket{seq: q.next, run: run}
	q.join(t, keys)
	q.schedule(t, delay)
	return t
}

// touch adds keys to a ticket that waits: before later ones, behind earlier ones.
func (q *queue) touch(t *ticket, keys ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.join(t, keys)
}

func (q *queue) join(t *ticket, keys []string) {
	for _, k := range keys {
		if k == "" || slices.Contains(t.keys, k) {
			continue
		}
		t.keys = append(t.keys, k)
		list := q.byKey[k]
		i := len(list)
		for i > 0 && list[i-1].seq > t.seq && !list[i-1].running {
			i--
		}
		q.byKey[k] = slices.Insert(list, i, t)
	}
}

// schedule sets when the ticket is due. The caller holds q.mu.
func (q *queue) schedule(t *ticket, delay time.Duration) {
	t.due = time.Now().Add(delay)
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if delay > 0 {
		t.timer = time.AfterFunc(delay, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.start(t)
		})
		return
	}
	q.start(t)
}

// start runs the ticket when it is its turn. The caller holds q.mu.
func (q *queue) start(t *ticket) {
	if q.shutting || t.running || t.run == nil || time.Now().Before(t.due) {
		return
	}
	for _, k := range t.keys {
		if q.byKey[k][0] != t {
			return
		}
	}
	t.running = true
	run := t.run
	q.wg.Go(run)
}

// hasten makes the ticket due now, and all that are ahead of it.
func (q *queue) hasten(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hastenLocked(t)
}

func (q *queue) hastenLocked(t *ticket) {
	for _, k := range t.keys {
		for _, ahead := range q.byKey[k] {
			if ahead == t {
				break
			}
			if !ahead.running && time.Now().Before(ahead.due) {
				q.hastenLocked(ahead)
			}
		}
	}
	if !t.running {
		q.schedule(t, 0)
	}
}

// done takes the ticket out of its queues; those behind it get their turn.
func (q *queue) done(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.run = nil
	if t.timer != nil {
		t.timer.Stop()
	}
	for _, k := range t.keys {
		list := q.byKey[k]
		i := slices.Index(list, t)
		if list = slices.Delete(list, i, i+1); len(list) == 0 {
			delete(q.byKey, k)
			continue
		}
		q.byKey[k] = list
		q.start(list[0])
	}
}

// retry lets a running ticket run again after the delay. It keeps its place.
func (q *queue) retry(t *ticket, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.run == nil { // done
		return
	}
	t.running = false
	q.schedule(t, delay)
}

// exclusive waits until every earlier operation on the keys has ended, and keeps
// later ones waiting until the returned function is called.
func (q *queue) exclusive(ctx context.Context, keys ...string) (release func(), err error) {
	turn := make(chan struct{})
	t := q.add(0, func() { close(turn) }, keys...)
	q.hasten(t)
	select {
	case <-turn:
	case <-ctx.Done():
		q.done(t)
		return nil, context.Cause(ctx)
	}
	return func() { q.done(t) }, nil
}

// shut lets no further ticket start, and waits for those that run.
func (q *queue) shut() {
	q.mu.Lock()
	q.shutting = true
	q.mu.Unlock()
	q.wg.Wait()
}
