// Package cache keeps the bytes of objects in blocks of mem.BlockSize.
//
// The central idea is the [Ref]. [Blocks.Acquire] never waits: it joins the block
// when it is there or on its way, starts a [Flight] when it is not, and returns a
// Ref. Prefetch is Acquire without Wait; a readahead window is a slice of Refs; a
// flight is cancelled when nobody holds a Ref on what it still has to bring. Single
// flight, pinning, cancellation and hand-over between the tiers are all that rule.
//
// Tiers: live (referenced or in flight; exact) over memory (blocks consumed in part, which
// may vanish at any time) over disk (package cache/disk: what was fetched, over restarts).
// A flight takes from disk what is there (Flight.Load), and what it brings from
// elsewhere is offered to the disk as each block is full.
//
// The package never knows where bytes come from, never verifies them itself, and never
// returns a byte that a flight did not bring under the same content ID.
package cache

import (
	"context"
	"sync"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
)

// ContentID names immutable bytes: one version of one object, whatever it is called.
type ContentID [16]byte

// Content is something that blocks can be taken from.
type Content struct {
	ID   ContentID
	Size int64
	// Fill starts what brings the bytes of a flight, and returns at once.
	// It is called once for each flight, without locks of this package.
	Fill func(*Flight)
	// Full is told of each block whose bytes are there, before its last ones can be read, and
	// whether they come from disk; nil: nobody wants to know. It may take a while.
	Full func(index int64, p []byte, loaded bool)
}

// Blocks is the number of blocks, the last of which may be short.
func (c *Content) Blocks() int64 { return (c.Size + mem.BlockSize - 1) / mem.BlockSize }

// blockSize is the number of bytes in block i.
func (c *Content) blockSize(i int64) int {
	return int(min(mem.BlockSize, c.Size-i*mem.BlockSize))
}

// blockID names a block.
type blockID struct {
	content ContentID
	index   int64
}

// block is one live block: referenced, or to be filled by a flight. Its fields are
// guarded by Blocks.mu; the bytes below filled never change.
type block struct {
	id        blockID
	size      int     // bytes it will have
	filled    int     // watermark: bytes it has
	refs      int     // Refs not released
	consumed  int     // bytes that readers got of it
	discarded bool    // by Discard: it goes with its last Ref
	err       error   // why it will not be filled
	flight    *Flight // what fills it; nil when full or failed
	class     mem.Class
	leased    bool   // its memory is leased, in class (moves to the frame with the buffer)
	frame     *frame // the buffer; nil until the first byte is about to arrive
	waiters   []*waiter
}

// waiter is a reader that needs the first bytes of a block.
type waiter struct {
	need int
	done chan struct{} // closed when filled reaches need, or the block failed
}

// smallestRun is how many blocks a flight of prefetch has at least, if as many were asked
// for: little memory must not turn into many small requests.
const smallestRun = 4

// Blocks is the live tier, over the memory tier. Safe for concurrent use.
//
// Lock order: handing, then mu, which is innermost but for the locks of package mem. The
// memory tier is never called with mu held.
type Blocks struct {
	base   context.Context // ends all flights
	cancel context.CancelFunc
	budget *mem.Budget
	arena  *mem.Arena
	memory *memoryTier
	disk   *disk.Tier // nil: none

	// handing is held shared while a block goes from one tier to another, where it is in
	// neither for a moment, and alone by Discard.
	handing sync.RWMutex

	mu struct {
		sync.Mutex
		live    map[blockID]*block
		refs    int // not released
		flights int // not done
	}
}

// New makes an empty cache. Blocks lie in arena, leased from budget, whose reclaim
// function should call Reclaim; up to memory bytes of blocks consumed in part are kept (0: none).
// The tier on disk may be nil; whoever opened it closes it, after the Blocks.
func New(budget *mem.Budget, arena *mem.Arena, memory int64, tier *disk.Tier) *Blocks {
	b := &Blocks{budget: budget, arena: arena, memory: newMemoryTier(memory), disk: tier}
	b.base, b.cancel = context.WithCancel(context.Background())
	b.mu.live = make(map[blockID]*block)
	return b
}

// Acquire returns Refs on blocks first, first+1, ... of c, in order, without waiting.
// Each run of blocks that are neither live nor in memory, and all on disk or all not,
// becomes one flight. The first
// need blocks are wanted by a reader: they are always returned, and their flight waits for
// memory if it must. Up to n blocks in all are returned as far as memory is free.
func (b *Blocks) Acquire(c *Content, first, n, need int64) []*Ref {
	n = min(n, c.Blocks()-first)
	refs := make([]*Ref, 0, max(n, 0))
	var started []*Flight
	for i := int64(0); i < n; {
		if ref := b.join(c, first+i, i < need); ref != nil {
			refs = append(refs, ref)
			i++
			continue
		}
		run := b.missing(c, first+i, n-i)
		must := max(min(need-i, run), 0)
		got, f := b.launch(c, first+i, run, must)
		if f == nil { // no memory for prefetch, or somebody was faster
			if must == 0 && !b.isLive(blockID{c.ID, first + i}) {
				break
			}
			continue
		}
		started = append(started, f)
		refs = append(refs, got...)
		i += int64(len(got))
		if int64(len(got)) < run && i >= need {
			break
		}
	}
	for _, f := range started {
		c.Fill(f)
	}
	return refs
}

// join returns a Ref on a block that is live or in memory, nil if it is neither.
func (b *Blocks) join(c *Content, index int64, demand bool) *Ref {
	id := blockID{c.ID, index}
	if ref := b.joinLive(id, demand); ref != nil {
		return ref
	}
	b.handing.RLock()
	defer b.handing.RUnlock()
	f := b.memory.get(id) // referenced for us
	if f == nil {
		return nil
	}
	b.mu.Lock()
	if blk := b.mu.live[id]; blk != nil { // somebody was faster
		ref := b.newRef(blk)
		b.mu.Unlock()
		f.unref()
		return ref
	}
	size := c.blockSize(index)
	blk := &block{id: id, size: size, filled: size, frame: f, consumed: 1}
	b.mu.live[id] = blk
	ref := b.newRef(blk)
	b.mu.Unlock()
	return ref
}

func (b *Blocks) joinLive(id blockID, demand bool) *Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	blk := b.mu.live[id]
	if blk == nil {
		return nil
	}
	if demand && blk.flight != nil {
		blk.flight.demand()
	}
	return b.newRef(blk)
}

func (b *Blocks) isLive(id blockID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.live[id] != nil
}

// missing counts blocks from first on, at most n, which are in no tier.
func (b *Blocks) missing(c *Content, first, n int64) int64 {
	for i := int64(1); i < n; i++ { // n may shrink
		id := blockID{c.ID, first + i}
		if b.isLive(id) || b.memory.has(id) {
			n = i
		}
	}
	run, _ := b.disk.Run(disk.ID(c.ID), first, n)
	return run
}

// launch makes a flight for up to n blocks, the first must of which need no memory yet.
// It returns nil when the budget has nothing for the rest and must is 0, or when a
// block became live meanwhile.
func (b *Blocks) launch(c *Content, first, n, must int64) ([]*Ref, *Flight) {
	leased := must
	if must > 0 && !b.budget.Try(mem.Demand, must*mem.BlockSize) {
		leased = 0 // the flight will wait for it
	}
	extra := n - must
	least := min(extra, smallestRun)
	for extra > 0 && !b.budget.Try(mem.Prefetch, extra*mem.BlockSize) {
		if extra /= 2; extra < least {
			extra = 0
		}
	}
	n = must + extra
	if n == 0 {
		return nil, nil
	}
	b.mu.Lock()
	for i := range n {
		if b.mu.live[blockID{c.ID, first + i}] != nil {
			b.mu.Unlock()
			b.budget.Release(mem.Demand, leased*mem.BlockSize)
			b.budget.Release(mem.Prefetch, extra*mem.BlockSize)
			return nil, nil
		}
	}
	defer b.mu.Unlock()
	f := newFlight(b, c, first, n)
	refs := make([]*Ref, 0, n)
	for i := range n {
		blk := &block{
			id: blockID{c.ID, first + i}, size: c.blockSize(first + i), flight: f,
			class: mem.Prefetch, leased: true,
		}
		if i < must {
			blk.class, blk.leased = mem.Demand, leased > 0
		}
		b.mu.live[blk.id] = blk
		f.blocks = append(f.blocks, blk)
		refs = append(refs, b.newRef(blk))
	}
	if must > 0 {
		f.demand()
	}
	b.mu.flights++
	return refs, f
}

// Ready tells whether bytes up to and including the last of [off, off+n) of c are live
// or in memory now.
func (b *Blocks) Ready(c *Content, off, n int64) bool {
	for n > 0 {
		id := blockID{c.ID, off / mem.BlockSize}
		in := min(n, mem.BlockSize-off%mem.BlockSize)
		b.mu.Lock()
		blk := b.mu.live[id]
		ok := blk != nil && int64(blk.filled) >= off%mem.BlockSize+in
		b.mu.Unlock()
		if !ok && (blk != nil || !b.memory.has(id)) {
			return false
		}
		off, n = off+in, n-in
	}
	return true
}

// Reclaim gives back up to n bytes, or a little more, of the memory tier and of what waits
// to be written to disk, and returns how many are free now. It fits mem.Budget.SetReclaim.
func (b *Blocks) Reclaim(n int64) int64 {
	freed := b.memory.evict(n)
	if freed < n {
		freed += b.disk.Shed(n - freed)
	}
	return freed
}

// Discard gives up n blocks of a content, from first on, in all tiers, or on their way. Refs
// stay valid, but have Failed, so that nobody goes on with them. It waits for the disk.
func (b *Blocks) Discard(content ContentID, first, n int64) {
	run := Run{first, n}
	b.handing.Lock()
	b.mu.Lock()
	for id, blk := range b.mu.live {
		if id.content == content && run.has(id.index) {
			blk.discarded = true
			delete(b.mu.live, id)
		}
	}
	b.mu.Unlock()
	for _, id := range b.memory.of(content, []Run{run}) {
		b.memory.drop(id)
	}
	b.handing.Unlock()
	b.disk.Evict(disk.ID(content), first, n)
}

// Gauges counts what is in use; all zero after Close when every Ref was released.
type Gauges struct {
	Live, Refs, Flights int
}

// Gauges reads them.
func (b *Blocks) Gauges() Gauges {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Gauges{Live: len(b.mu.live), Refs: b.mu.refs, Flights: b.mu.flights}
}

// Close ends all flights and empties the memory tier. Refs stay valid until they are
// released. Whoever runs the flights waits for them.
func (b *Blocks) Close() {
	b.cancel()
	b.memory.close()
}
