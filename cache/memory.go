package cache

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/zeebo/xxh3"

	"s3mount/internal/mem"
)

// memoryTier keeps blocks that were consumed in part, as far as ristretto finds them worth it.
// Everything here is a hint: Set may be dropped or refused, and a block may vanish
// between any two calls. A frame in the tier holds one reference for it, which ristretto gives
// back through OnExit exactly once.
type memoryTier struct {
	lru *ristretto.Cache[uint64, *frame] // nil: nothing is kept

	mu     sync.RWMutex // held shared by calls into lru, so that Close comes after them
	closed bool
}

// spareBytes is evicted beyond what was asked for, so that a steady stream of
// prefetch does not evict block by block.
const spareBytes = 4 << 20

func newMemoryTier(size int64) *memoryTier {
	t := &memoryTier{}
	if size < mem.BlockSize {
		return t
	}
	lru, err := ristretto.NewCache(&ristretto.Config[uint64, *frame]{
		NumCounters:        max(size/mem.BlockSize*10, 100),
		MaxCost:            size,
		BufferItems:        64,
		IgnoreInternalCost: true,
		KeyToHash:          func(k uint64) (uint64, uint64) { return k, 0 },
		OnExit: func(f *frame) {
			if f != nil {
				f.kept.Store(false)
				f.unref()
			}
		},
	})
	if err != nil {
		panic(fmt.Sprintf("cache: ristretto refused its configuration: %v", err))
	}
	t.lru = lru
	return t
}

// hash is the key of a block. Two blocks may share one: get compares the ID.
func (id blockID) hash() uint64 {
	var b [24]byte
	copy(b[:], id.content[:])
	binary.LittleEndian.PutUint64(b[16:], uint64(id.index))
	return xxh3.Hash(b[:])
}

// enter tells whether the tier may be used; leave follows when it may.
func (t *memoryTier) enter() bool {
	if t.lru == nil {
		return false
	}
	t.mu.RLock()
	if t.closed {
		t.mu.RUnlock()
		return false
	}
	return true
}

func (t *memoryTier) leave() { t.mu.RUnlock() }

// get returns the frame of a block, referenced, or nil.
func (t *memoryTier) get(id blockID) *frame {
	if !t.enter() {
		return nil
	}
	defer t.leave()
	f, ok := t.lru.Get(id.hash())
	if !ok || !f.tryRef() {
		return nil
	}
	if f.id != id {
		f.unref()
		return nil
	}
	return f
}

// has tells whether a block is there now.
func (t *memoryTier) has(id blockID) bool {
	f := t.get(id)
	if f != nil {
		f.unref()
	}
	return f != nil
}

// offer hands the caller's reference on a full frame to the tier.
func (t *memoryTier) offer(f *frame) {
	if f.kept.Swap(true) { // it is there already
		f.unref()
		return
	}
	if !t.enter() {
		f.unref()
		return
	}
	defer t.leave()
	f.move(mem.Cached)
	if !t.lru.Set(f.id.hash(), f, mem.BlockSize) {
		f.kept.Store(false)
		f.unref()
	}
}

// of lists the blocks of a content that are there in these runs.
func (t *memoryTier) of(id ContentID, runs []Run) (found []blockID) {
	if !t.enter() {
		return nil
	}
	defer t.leave()
	t.lru.Wait() // for what was offered
	t.lru.IterValues(func(f *frame) bool {
		if f != nil && f.id.content == id && slices.ContainsFunc(runs, func(r Run) bool { return r.has(f.id.index) }) {
			found = append(found, f.id)
		}
		return false
	})
	return found
}

// drop forgets a block.
func (t *memoryTier) drop(id blockID) {
	if t.enter() {
		defer t.leave()
		t.lru.Del(id.hash())
	}
}

// evict drops blocks nobody else holds until n bytes, and some spare, are free, and
// returns what was freed. Which ones is left to the order of the map: about random.
func (t *memoryTier) evict(n int64) int64 {
	if !t.enter() {
		return 0
	}
	defer t.leave()
	var victims []*frame
	want := (n + spareBytes + mem.BlockSize - 1) / mem.BlockSize
	t.lru.IterValues(func(f *frame) bool {
		if f != nil && f.refs.Load() == 1 {
			victims = append(victims, f)
		}
		return int64(len(victims)) >= want
	})
	for _, f := range victims {
		t.lru.Del(f.id.hash())
	}
	return int64(len(victims)) * mem.BlockSize
}

// close gives everything back.
func (t *memoryTier) close() {
	if t.lru == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		t.lru.Close()
	}
}
