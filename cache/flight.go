package cache

import (
	"context"
	"time"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
)

// Flight brings a run of neighbouring blocks, in order. One goroutine drives it:
//
//	err := f.Prepare()
//	for err == nil && f.Buffer() != nil {
//		n, err = body.Read(f.Buffer())
//		f.Advance(n)
//	}
//	f.Done(err)
//
// Before it asks elsewhere, Load brings what lies on disk.
//
// Readers are woken within a block as soon as the bytes that they need have arrived.
type Flight struct {
	cache *Blocks
	ctx   context.Context
	stop  context.CancelFunc

	id     ContentID
	full   func(index int64, p []byte, loaded bool)
	first  int64 // index of blocks[0]
	size   int64 // bytes in all
	blocks []*block
	next   int  // index of the block being filled; the driver writes it, under Blocks.mu
	loaded bool // what Advance is told of lies on disk already; the driver's

	// Guarded by Blocks.mu.
	cancelled bool
	urgent    chan struct{} // closed when a reader waits
	since     time.Time     // of the latest reader that began to wait
}

// spareRest is how little is left of a flight that is not worth cancelling: that would
// cost the connection, which the next flight can use.
const spareRest = mem.BlockSize

func newFlight(b *Blocks, c *Content, first, n int64) *Flight {
	f := &Flight{cache: b, id: c.ID, full: c.Full, first: first, urgent: make(chan struct{})}
	f.size = min(c.Size, (first+n)*mem.BlockSize) - first*mem.BlockSize
	f.blocks = make([]*block, 0, n)
	f.ctx, f.stop = context.WithCancel(b.base)
	return f
}

// Context ends when nobody wants the rest of the flight any more.
func (f *Flight) Context() context.Context { return f.ctx }

// Urgent is closed as soon as a reader waits for the flight.
func (f *Flight) Urgent() <-chan struct{} { return f.urgent }

// Wanted is when the latest reader asked for the flight; zero when none did yet.
func (f *Flight) Wanted() time.Time {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	return f.since
}

// Range is what is left to bring: n bytes of the content, from off on.
func (f *Flight) Range() (off, n int64) {
	start := f.first * mem.BlockSize
	if f.next == len(f.blocks) {
		return start + f.size, 0
	}
	off = (f.first+int64(f.next))*mem.BlockSize + int64(f.blocks[f.next].filled)
	return off, start + f.size - off
}

// Prepare waits for the memory of blocks that a reader demands. It comes before the
// first Buffer.
func (f *Flight) Prepare() error {
	var n int64
	for _, blk := range f.blocks {
		if !blk.leased {
			n += mem.BlockSize
		}
	}
	if n == 0 {
		return nil
	}
	if err := f.cache.budget.Lease(f.ctx, mem.Demand, n); err != nil {
		return err
	}
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	for _, blk := range f.blocks {
		blk.leased = true
	}
	return nil
}

// Buffer is room for the next bytes, nil when the flight is complete.
func (f *Flight) Buffer() []byte {
	if f.next == len(f.blocks) {
		return nil
	}
	blk := f.blocks[f.next]
	if blk.frame == nil {
		fr := newFrame(f.cache, blk.id, blk.class)
		f.cache.mu.Lock()
		blk.frame = fr
		f.cache.mu.Unlock()
	}
	return blk.frame.buf[blk.filled:blk.size]
}

// Advance says that n more bytes lie in the buffer, and wakes those who wait for them.
func (f *Flight) Advance(n int) error {
	b, blk := f.cache, f.blocks[f.next]
	if f.full != nil && blk.filled+n == blk.size {
		f.full(blk.id.index, blk.frame.buf[:blk.size], f.loaded)
	}
	b.handing.RLock()
	defer b.handing.RUnlock()
	b.mu.Lock()
	blk.filled += n
	blk.wake()
	var drop, offer *frame
	if blk.filled == blk.size {
		f.next++
		if b.disk != nil && !f.loaded && !blk.discarded {
			offer = blk.frame
			offer.refs.Add(1) // the block has one still
		}
		if !f.cancelled {
			blk.flight = nil
			if blk.refs == 0 {
				drop = b.forget(blk)
			}
			f.abandoned() // the rest may interest nobody
		}
	}
	b.mu.Unlock()
	if drop != nil {
		drop.unref()
	}
	if offer != nil && !b.disk.Offer(disk.ID(f.id), blk.id.index, offer.buf[:blk.size], offer.unref) {
		offer.unref()
	}
	return nil
}

// Done ends the flight. Blocks that are not full fail with err.
func (f *Flight) Done(err error) {
	f.stop()
	if err == nil && f.next < len(f.blocks) {
		err = context.Canceled
	}
	b := f.cache
	b.mu.Lock()
	b.mu.flights--
	var drop []*frame
	for _, blk := range f.blocks {
		if blk.flight != f {
			continue
		}
		blk.flight, blk.err = nil, err
		blk.wake()
		if b.mu.live[blk.id] == blk {
			delete(b.mu.live, blk.id)
		}
		// Nobody reads a block that is not full beyond its watermark, but somebody may
		// hold what is below it: the last Ref frees the frame then.
		if blk.refs == 0 {
			if fr := b.forget(blk); fr != nil {
				drop = append(drop, fr)
			}
		}
	}
	b.mu.Unlock()
	for _, fr := range drop {
		fr.unref()
	}
}

// demand notes that a reader waits. Blocks.mu is held.
func (f *Flight) demand() {
	if f.since.IsZero() {
		close(f.urgent)
	}
	f.since = time.Now()
}

// abandoned cancels the flight when nobody holds a Ref on what it has to bring.
// Blocks.mu is held.
func (f *Flight) abandoned() {
	if f.cancelled || f.next == len(f.blocks) {
		return
	}
	if off, rest := f.Range(); off > f.first*mem.BlockSize && rest <= spareRest {
		return
	}
	for _, blk := range f.blocks {
		if blk.flight == f && blk.refs > 0 {
			return
		}
	}
	f.cancelled = true
	f.stop()
	for _, blk := range f.blocks {
		// The next Acquire starts anew. Memory is freed by Done.
		if blk.flight == f && f.cache.mu.live[blk.id] == blk {
			delete(f.cache.mu.live, blk.id)
		}
	}
}

// wake wakes the readers whose bytes are there, or never will be. Blocks.mu is held.
func (blk *block) wake() {
	rest := blk.waiters[:0]
	for _, w := range blk.waiters {
		if blk.filled >= w.need || blk.err != nil {
			close(w.done)
		} else {
			rest = append(rest, w)
		}
	}
	clear(blk.waiters[len(rest):])
	blk.waiters = rest
}

// forget takes an unreferenced block that no flight fills out of the live tier, and
// returns its frame, which the caller unrefs or hands on without the lock. Memory that
// was leased but never used is released. Blocks.mu is held.
func (b *Blocks) forget(blk *block) *frame {
	if b.mu.live[blk.id] == blk {
		delete(b.mu.live, blk.id)
	}
	fr := blk.frame
	if fr == nil && blk.leased {
		b.budget.Release(blk.class, mem.BlockSize)
	}
	blk.frame, blk.leased = nil, false
	return fr
}
