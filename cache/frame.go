package cache

import (
	"sync/atomic"

	"s3mount/internal/mem"
)

// frame is the buffer of a block. The live tier and the memory tier each hold one
// reference while they have it; the last one gives buffer and lease back.
type frame struct {
	id    blockID
	buf   []byte
	cache *Blocks
	refs  atomic.Int32
	class atomic.Uint32 // mem.Class of its lease
	kept  atomic.Bool   // the memory tier has it, or has been offered it
}

// newFrame takes a buffer for a block whose memory is leased in class.
func newFrame(b *Blocks, id blockID, class mem.Class) *frame {
	f := &frame{id: id, buf: b.arena.Get(), cache: b}
	f.refs.Store(1)
	f.class.Store(uint32(class))
	return f
}

// tryRef takes a reference, unless the last one is gone already.
func (f *frame) tryRef() bool {
	for {
		n := f.refs.Load()
		if n == 0 {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// unref gives a reference back.
func (f *frame) unref() {
	switch n := f.refs.Add(-1); {
	case n < 0:
		panic("cache: frame released twice")
	case n == 0:
		f.cache.arena.Put(f.buf)
		f.cache.budget.Release(mem.Class(f.class.Load()), mem.BlockSize)
		f.buf = nil
	}
}

// move changes the class of the lease.
func (f *frame) move(to mem.Class) {
	from := mem.Class(f.class.Swap(uint32(to)))
	if from != to {
		f.cache.budget.Move(from, to, mem.BlockSize)
	}
}
