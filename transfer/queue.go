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
	slots    int            // tickets that run and count
	ready    []*ticket      // that lack nothing but a slot, in order
	noCopies map[string]int // keys at which and below which no copy may begin
	failure  chan struct{}  // closed and replaced when a ticket failed
	held     held
	wg       sync.WaitGroup
}

// maxRunning is how many operations run at once: each takes memory, and a few more than the
// requests that are sent at once are enough.
const maxRunning = 256

// ticket is the place of one operation in the queues of its keys.
type ticket struct {
	seq     uint64
	keys    []string
	copies  []string // those of keys that are only copied from
	err     error    // of its last run
	due     time.Time
	timer   *time.Timer
	running bool
	free    bool          // it runs however many others do: somebody waits for it, and it costs nothing
	slot    bool          // it counts as one that runs
	ready   bool          // it is in queue.ready
	patient bool          // it may be held
	held    bool          // it is in queue.held
	gone    chan struct{} // closed by done
	run     func(*ticket) // called in its own goroutine; ends with done or retry
}

func newQueue() *queue {
	return &queue{byKey: map[string][]*ticket{}, noCopies: map[string]int{}, failure: make(chan struct{})}
}

// add puts a ticket at the end of the queues of its keys.
func (q *queue) add(delay time.Duration, run func(*ticket), keys ...string) *ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.addLocked(delay, run, keys)
}

func (q *queue) addLocked(delay time.Duration, run func(*ticket), keys []string) *ticket {
	q.next++
	return q.put(q.next, delay, run, keys)
}

// follow puts a ticket right behind one that runs, ahead of all later ones. nil: at
// the end.
func (q *queue) follow(t *ticket, run func(*ticket), keys ...string) *ticket {
	if t == nil {
		return q.add(0, run, keys...)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.put(t.seq, 0, run, keys)
}

// put makes a ticket. The caller holds q.mu.
func (q *queue) put(seq uint64, delay time.Duration, run func(*ticket), keys []string) *ticket {
	t := &ticket{seq: seq, run: run, gone: make(chan struct{})}
	q.join(t, keys)
	q.schedule(t, delay)
	return t
}

// touch adds keys to a ticket that waits: before later ones, behind earlier ones.
func (q *queue) touch(t *ticket, keys ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.run == nil { // done
		return
	}
	t.copies = slices.DeleteFunc(t.copies, func(k string) bool { return slices.Contains(keys, k) })
	q.join(t, keys)
}

func (q *queue) join(t *ticket, keys []string) {
	for _, k := range keys {
		if k == "" || slices.Contains(t.keys, k) {
			continue
		}
		t.keys = append(t.keys, k)
		q.insert(t, k)
	}
}

// insert puts the ticket into a queue: before later ones, unless they run.
func (q *queue) insert(t *ticket, k string) {
	list := q.byKey[k]
	i := len(list)
	for i > 0 && list[i-1].seq > t.seq && !list[i-1].running {
		i--
	}
	q.byKey[k] = slices.Insert(list, i, t)
}

// schedule sets when the ticket is due. The caller holds q.mu.
func (q *queue) schedule(t *ticket, delay time.Duration) {
	t.due, t.held = time.Now().Add(delay), false
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if delay > 0 {
		t.timer = time.AfterFunc(delay, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			if !q.hold(t) {
				q.start(t)
			}
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
	if !q.admit(t) {
		return
	}
	t.running, t.err = true, nil
	run := t.run
	q.wg.Go(func() { run(t) })
}

// admit gives the ticket a slot, or puts it in line for one. The caller holds q.mu.
func (q *queue) admit(t *ticket) bool {
	switch {
	case t.free || t.slot:
		return true
	case q.slots < maxRunning:
		q.slots++
		t.slot = true
		return true
	case !t.ready:
		t.ready = true
		q.ready = append(q.ready, t)
	}
	return false
}

// vacate takes the ticket's slot back, and lets the next ones run. The caller holds q.mu.
func (q *queue) vacate(t *ticket) {
	if !t.slot {
		return
	}
	t.slot = false
	q.slots--
	for len(q.ready) > 0 && q.slots < maxRunning {
		next := q.ready[0]
		q.ready[0] = nil
		q.ready = q.ready[1:]
		next.ready = false
		q.start(next)
	}
}

// rest is called when a ticket that runs does nothing until retry or done.
func (q *queue) rest(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.vacate(t)
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
			if now := time.Now(); !ahead.running && now.Before(ahead.due) {
				ahead.due = now // visited
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
	q.end(t)
}

// end is done. The caller holds q.mu.
func (q *queue) end(t *ticket) {
	t.run = nil
	close(t.gone)
	q.vacate(t)
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

// retry lets a running ticket run again after the delay. It keeps its place, but
// earlier ones that got a key of it while it ran go ahead: those that wait are
// always in order, or two could wait for each other.
func (q *queue) retry(t *ticket, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.run == nil { // done
		return
	}
	t.running = false
	q.vacate(t)
	for _, k := range t.keys {
		i := slices.Index(q.byKey[k], t)
		q.byKey[k] = slices.Delete(q.byKey[k], i, i+1)
		q.insert(t, k)
	}
	q.schedule(t, delay)
	for _, k := range t.keys {
		q.start(q.byKey[k][0])
	}
}

// last is retry behind all others that wait.
func (q *queue) last(t *ticket, delay time.Duration) {
	q.mu.Lock()
	q.next++
	t.seq = q.next
	q.mu.Unlock()
	q.retry(t, delay)
}

// settle waits until no ticket but those named is in the queue of the key.
func (q *queue) settle(ctx context.Context, key string, except ...*ticket) error {
	return q.settleAll(ctx, func(k string) bool { return k == key }, func(t *ticket) bool { return slices.Contains(except, t) })
}

// settleAll waits until no ticket but those excepted is in a queue of such a key.
func (q *queue) settleAll(ctx context.Context, of func(key string) bool, except func(t *ticket) bool) error {
	for {
		q.mu.Lock()
		var other *ticket
		for k, list := range q.byKey {
			if !of(k) {
				continue
			}
			for _, t := range list {
				if !except(t) {
					other = t
				}
			}
		}
		if other != nil {
			q.hastenLocked(other)
		}
		q.mu.Unlock()
		if other == nil {
			return nil
		}
		select {
		case <-other.gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// exclusive waits until every earlier operation on the keys has ended, and keeps
// later ones waiting until done is called with the ticket that it returns, which has to be
// done in any case. It fails when one of the earlier ones fails. It takes the place of the
// ticket instead, which ends; nil: the last one.
func (q *queue) exclusive(ctx context.Context, instead *ticket, keys ...string) (*ticket, error) {
	turn := make(chan struct{})
	t := q.claim(instead, func(*ticket) { close(turn) }, keys)
	for {
		failure, err := q.blocked(t)
		if err != nil {
			return t, err
		}
		select {
		case <-turn:
			return t, nil
		case <-failure:
		case <-ctx.Done():
			return t, context.Cause(ctx)
		}
	}
}

// claim is add for what somebody waits for, with all that is ahead of it.
func (q *queue) claim(instead *ticket, run func(*ticket), keys []string) *ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &ticket{run: run, gone: make(chan struct{}), free: true}
	if instead == nil {
		q.next++
		t.seq = q.next
		q.join(t, keys)
	} else {
		t.seq = instead.seq
		q.join(t, keys)
		q.end(instead)
	}
	q.hastenLocked(t)
	return t
}

// shut lets no further ticket start, and waits for those that run.
func (q *queue) shut() {
	q.mu.Lock()
	q.shutting = true
	q.mu.Unlock()
	q.wg.Wait()
}
