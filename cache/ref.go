package cache

import (
	"context"
)

// Ref holds one block: it keeps its bytes in place, and its flight going. Each Ref is
// released exactly once. A Ref is not safe for concurrent use; Clone it.
type Ref struct {
	cache *Blocks
	block *block // nil when released
}

// newRef makes a Ref. Blocks.mu is held.
func (b *Blocks) newRef(blk *block) *Ref {
	blk.refs++
	b.mu.refs++
	return &Ref{cache: b, block: blk}
}

// Index is the number of the block in its content.
func (r *Ref) Index() int64 { return r.block.id.index }

// Clone makes a second Ref on the same block.
func (r *Ref) Clone() *Ref {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	return r.cache.newRef(r.block)
}

// Failed tells whether the block will never be filled, or is not to be used any more.
func (r *Ref) Failed() bool {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	return r.block.err != nil || r.block.discarded
}

// Wait returns when the first need bytes of the block are there, when its flight
// failed, or when ctx ends. The flight goes on in any case: it ends with its last Ref.
func (r *Ref) Wait(ctx context.Context, need int) error {
	b, blk := r.cache, r.block
	b.mu.Lock()
	if blk.filled >= need || blk.err != nil {
		defer b.mu.Unlock()
		return blk.result(need)
	}
	w := &waiter{need: need, done: make(chan struct{})}
	blk.waiters = append(blk.waiters, w)
	blk.flight.demand()
	b.mu.Unlock()

	select {
	case <-w.done:
		b.mu.Lock()
		defer b.mu.Unlock()
		return blk.result(need)
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, x := range blk.waiters {
		if x == w {
			blk.waiters = append(blk.waiters[:i], blk.waiters[i+1:]...)
			break
		}
	}
	return ctx.Err()
}

// result is what a reader gets that waited for need bytes. Blocks.mu is held.
func (blk *block) result(need int) error {
	if blk.filled >= need {
		return nil
	}
	return blk.err
}

// Bytes are the bytes [from, to) of the block, after a Wait for to. They stay in place
// until Release, and must not be changed.
func (r *Ref) Bytes(from, to int) []byte {
	return r.block.frame.buf[from:to:to]
}

// Consumed notes that a reader got n bytes of the block. When its last Ref goes, it is
// offered to the memory tier if readers got a part of it: what they got whole, the kernel
// has in its pages, and fresh memory for a second copy of a long file costs more time than
// its bytes took to come.
func (r *Ref) Consumed(n int) {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.block.consumed += n
}

// Release gives the Ref back. It panics the second time.
func (r *Ref) Release() {
	b, blk := r.cache, r.block
	if blk == nil {
		panic("cache: Ref released twice")
	}
	r.block = nil
	b.handing.RLock()
	defer b.handing.RUnlock()
	b.mu.Lock()
	blk.refs--
	b.mu.refs--
	if blk.refs > 0 {
		b.mu.Unlock()
		return
	}
	if blk.flight != nil {
		blk.flight.abandoned()
		b.mu.Unlock()
		return
	}
	keep := blk.err == nil && blk.consumed > 0 && blk.consumed < blk.size && !blk.discarded
	fr := b.forget(blk)
	b.mu.Unlock()
	switch {
	case fr == nil:
	case keep:
		b.memory.offer(fr)
	default:
		fr.unref()
	}
}
