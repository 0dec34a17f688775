// Package mem keeps the memory of all transfers inside one byte budget, and holds
// the blocks that object bytes travel in outside the Go heap.
//
// Bytes are leased before they are allocated. A lease is all or nothing: nobody
// holds half of what he needs while waiting for the rest. The package never
// decides what is worth keeping; it asks its owner to give back (see SetReclaim).
package mem

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Class says what leased bytes are for.
type Class uint8

const (
	// Demand holds blocks that a read is waiting for.
	Demand Class = iota
	// Border holds what copies a range of an object for an edit or an upload.
	Border
	// Upload holds parts on their way to the bucket.
	Upload
	// Prefetch holds blocks nobody asked for yet. It owns no minimum.
	Prefetch
	// Cached holds consumed blocks that can be given back at any time. It owns no minimum.
	Cached

	classes = 5
)

// ErrTooLarge: the lease can never be had, the budget is smaller.
var ErrTooLarge = errors.New("mem: lease is larger than the budget")

// Budget is a number of bytes shared by classes. Demand, Border and Upload each
// own a minimum that nobody else can take. Safe for concurrent use.
type Budget struct {
	total   int64
	min     [classes]int64
	reclaim func(n int64) int64 // set before use

	mu struct {
		sync.Mutex
		used    [classes]int64
		sum     int64
		waiting [classes][]*leaseWaiter // each in order of arrival
	}
}

type leaseWaiter struct {
	n       int64
	granted chan struct{} // closed when the lease is his
}

// New makes a budget of total bytes: a quarter belongs to demand reads, a quarter
// to uploads, a sixteenth to border fetches, the rest to who comes first.
func New(total int64) *Budget {
	b := &Budget{total: total, reclaim: func(int64) int64 { return 0 }}
	b.min[Demand] = total / 4
	b.min[Upload] = total / 4
	b.min[Border] = total / 16
	return b
}

// SetReclaim names the function that is asked to give back n bytes when a lease
// finds none. It returns the bytes that it released, must not wait, and is called without
// locks of this package. Call it before the first lease.
func (b *Budget) SetReclaim(reclaim func(n int64) int64) { b.reclaim = reclaim }

// Total is the size of the budget.
func (b *Budget) Total() int64 { return b.total }

// Min is what class c owns.
func (b *Budget) Min(c Class) int64 { return b.min[c] }

// Max is the most that class c can ever hold.
func (b *Budget) Max(c Class) int64 {
	n := b.total
	for k := range b.min {
		if Class(k) != c {
			n -= b.min[k]
		}
	}
	return n
}

// Used is the number of leased bytes.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.sum
}

// UsedBy is the number of bytes leased by class c.
func (b *Budget) UsedBy(c Class) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.used[c]
}

// Waiting tells whether somebody waits for a lease.
func (b *Budget) Waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.anyWaiting()
}

// Lease takes n bytes, waiting until they are free. It fails when ctx ends
// or when n is more than the class can ever hold.
func (b *Budget) Lease(ctx context.Context, c Class, n int64) error {
	if n > b.Max(c) {
		return fmt.Errorf("%w: %d bytes of %d", ErrTooLarge, n, b.Max(c))
	}
	if b.Try(c, n) {
		return nil
	}
	w := &leaseWaiter{n: n, granted: make(chan struct{})}
	b.mu.Lock()
	b.mu.waiting[c] = append(b.mu.waiting[c], w)
	b.grant() // somebody may have released since
	b.mu.Unlock()

	b.reclaim(n)
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, x := range b.mu.waiting[c] {
		if x == w {
			b.mu.waiting[c] = append(b.mu.waiting[c][:i:i], b.mu.waiting[c][i+1:]...)
			b.grant() // those behind him may fit
			return ctx.Err()
		}
	}
	// Granted at the same moment: he does not want it any more.
	b.give(c, n)
	return ctx.Err()
}

// Try takes n bytes when they are free now, or can be made free at once.
func (b *Budget) Try(c Class, n int64) bool {
	ok := b.try(c, n)
	if !ok && b.reclaim(n) > 0 {
		ok = b.try(c, n)
	}
	return ok
}

func (b *Budget) try(c Class, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.waiting[c]) > 0 || !b.fits(c, n) {
		return false
	}
	if b.min[c] == 0 && b.anyWaiting() {
		return false // who only tries comes last
	}
	b.mu.used[c] += n
	b.mu.sum += n
	return true
}

// Move hands leased bytes from one class to another. It always succeeds: the sum stays.
func (b *Budget) Move(from, to Class, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.mu.used[from] {
		panic("mem: more bytes moved than leased")
	}
	b.mu.used[from] -= n
	b.mu.used[to] += n
	b.grant()
}

// Release gives back n leased bytes. It panics when more is released than was leased.
func (b *Budget) Release(c Class, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.give(c, n)
}

// give returns bytes and serves those who wait. The lock is held.
func (b *Budget) give(c Class, n int64) {
	if n > b.mu.used[c] {
		panic("mem: more bytes released than leased")
	}
	b.mu.used[c] -= n
	b.mu.sum -= n
	b.grant()
}

// fits says whether n bytes are free for c, leaving to the others what they own. The lock is held.
func (b *Budget) fits(c Class, n int64) bool {
	free := b.total - b.mu.sum
	for k := range b.min {
		if Class(k) != c {
			free -= max(0, b.min[k]-b.mu.used[k])
		}
	}
	return n <= free
}

func (b *Budget) anyWaiting() bool {
	for c := range b.mu.waiting {
		if len(b.mu.waiting[c]) > 0 {
			return true
		}
	}
	return false
}

// grant serves waiters: classes in their order, each class first come, first served.
// The lock is held.
func (b *Budget) grant() {
	for c := range b.mu.waiting {
		for len(b.mu.waiting[c]) > 0 && b.fits(Class(c), b.mu.waiting[c][0].n) {
			w := b.mu.waiting[c][0]
			b.mu.waiting[c] = b.mu.waiting[c][1:]
			b.mu.used[c] += w.n
			b.mu.sum += w.n
			close(w.granted)
		}
	}
}
