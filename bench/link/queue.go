package link

import (
	"sync"
	"time"
)

// parcel is a chunk on its way.
type parcel struct {
	buf *[chunkSize]byte
	n   int
	due time.Time // when it arrives
}

// queue holds what is on its way in one direction, bounded in bytes.
type queue struct {
	limit int

	mu      sync.Mutex
	changed sync.Cond
	parcels []parcel
	bytes   int
	ended   bool // nothing more comes
	dead    bool // nobody takes anything any more
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.changed.L = &q.mu
	return q
}

// push waits until there is room.
func (q *queue) push(p parcel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes >= q.limit && !q.dead {
		q.changed.Wait()
	}
	if q.dead {
		chunks.Put(p.buf)
		return
	}
	q.parcels = append(q.parcels, p)
	q.bytes += p.n
	q.changed.Broadcast()
}

// pop waits for the next parcel; false says that there is none.
func (q *queue) pop() (parcel, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.parcels) == 0 && !q.ended {
		q.changed.Wait()
	}
	if len(q.parcels) == 0 {
		return parcel{}, false
	}
	p := q.parcels[0]
	q.parcels = q.parcels[1:]
	return p, true
}

// done gives back the room of what was delivered.
func (q *queue) done(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= n
	q.changed.Broadcast()
}

func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.changed.Broadcast()
}

func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dead = true
	q.changed.Broadcast()
}
