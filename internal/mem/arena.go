package mem

import (
	"fmt"
	"sync"
	"unsafe"
)

// BlockSize is the size of a block: what is cached, and checked, as one.
const BlockSize = 256 << 10

// slabBlocks is how many blocks are mapped at once.
const slabBlocks = 32

// Arena hands out blocks of BlockSize bytes that lie outside the Go heap: the
// garbage collector neither scans them nor counts them, so the heap stays small
// whatever the cache holds. It has no limit of its own: blocks are leased from a
// Budget first. Safe for concurrent use.
type Arena struct {
	mu struct {
		sync.Mutex
		slabs  [][]byte
		inUse  map[*byte]bool // first byte of each block -> handed out
		warm   []*byte        // free, may occupy memory; last in, first out
		cold   []*byte        // free, given back to the system
		unused int            // least number of warm blocks since the last Trim
		closed bool
	}
}

// NewArena makes an empty arena.
func NewArena() *Arena {
	a := &Arena{}
	a.mu.inUse = make(map[*byte]bool)
	return a
}

// Get returns a block with undefined content. It panics when the system has no memory.
func (a *Arena) Get() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	var p *byte
	switch {
	case len(a.mu.warm) > 0:
		p = pop(&a.mu.warm)
		a.mu.unused = min(a.mu.unused, len(a.mu.warm))
	default:
		if len(a.mu.cold) == 0 {
			a.grow()
		}
		p = pop(&a.mu.cold)
	}
	a.mu.inUse[p] = true
	return unsafe.Slice(p, BlockSize)
}

func pop(list *[]*byte) *byte {
	l := *list
	p := l[len(l)-1]
	*list = l[:len(l)-1]
	return p
}

// grow maps one more slab. The lock is held.
func (a *Arena) grow() {
	if a.mu.closed {
		panic("mem: arena is closed")
	}
	slab, err := mapMemory(slabBlocks * BlockSize)
	if err != nil {
		panic(fmt.Sprintf("mem: no memory for blocks: %v", err))
	}
	a.mu.slabs = append(a.mu.slabs, slab)
	for i := slabBlocks - 1; i >= 0; i-- {
		p := &slab[i*BlockSize]
		a.mu.inUse[p] = false
		a.mu.cold = append(a.mu.cold, p)
	}
}

// Put gives a block back. It panics when the block is not one that is handed out.
func (a *Arena) Put(block []byte) {
	p := unsafe.SliceData(block)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.mu.inUse[p] {
		panic("mem: block given back twice, or not of this arena")
	}
	a.mu.inUse[p] = false
	a.mu.warm = append(a.mu.warm, p)
}

// InUse is the number of bytes handed out.
func (a *Arena) InUse() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	free := len(a.mu.warm) + len(a.mu.cold)
	return int64(len(a.mu.inUse)-free) * BlockSize
}

// Trim returns to the system the memory of blocks that stayed free since the last
// Trim. Call it now and then.
func (a *Arena) Trim() {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(a.mu.unused, len(a.mu.warm))
	for _, p := range a.mu.warm[:n] { // the bottom of the stack: the longest unused
		dropMemory(unsafe.Slice(p, BlockSize))
		a.mu.cold = append(a.mu.cold, p)
	}
	a.mu.warm = append(a.mu.warm[:0], a.mu.warm[n:]...)
	a.mu.unused = len(a.mu.warm)
}

// Close unmaps everything. It panics when blocks are still handed out.
func (a *Arena) Close() {
	if n := a.InUse(); n != 0 {
		panic(fmt.Sprintf("mem: arena closed with %d bytes handed out", n))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.mu.slabs {
		unmapMemory(s)
	}
	a.mu.slabs, a.mu.warm, a.mu.cold, a.mu.inUse = nil, nil, nil, nil
	a.mu.closed = true
}
