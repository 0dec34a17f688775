package cache

import (
	"runtime"
	"sync"
	"testing"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
)

// TestDiscardMeetsRelease gives blocks up while they are on their way to the memory tier: they
// are not found there afterwards.
func TestDiscardMeetsRelease(t *testing.T) {
	r := newRig(t, testBudget, testBudget/2)
	for i := range 100 {
		c := r.content(byte(i), mem.BlockSize)
		c.ID[1] = byte(i >> 8)
		id := blockID{c.ID, 0}
		ref := r.Acquire(c, 0, 1, 1)[0]
		bring(r.flights[i], mem.BlockSize)
		r.flights[i].Done(nil)
		ref.Consumed(1)
		var both sync.WaitGroup
		r.memory.mu.Lock()
		both.Go(ref.Release)
		for r.isLive(id) { // then it waits for the tier
			runtime.Gosched()
		}
		both.Go(func() { r.Discard(c.ID, 0, c.Blocks()) })
		runtime.Gosched()
		r.memory.mu.Unlock()
		both.Wait()
		r.memory.lru.Wait()
		if r.memory.has(id) {
			t.Fatalf("round %d: a block that was given up is kept", i)
		}
	}
	r.close()
}

// TestDiscardMeetsArrival gives blocks up while their last bytes come: they are not found on
// disk afterwards.
func TestDiscardMeetsArrival(t *testing.T) {
	dir := t.TempDir()
	open := func() *disk.Tier {
		tier, err := disk.Open(disk.Options{Dir: dir, Limit: 1 << 30, Queue: 1000})
		if err != nil {
			t.Fatal(err)
		}
		tier.Await(t.Context())
		return tier
	}
	r := newRig(t, testBudget, 0)
	r.disk = open()
	for i := range 1000 {
		c := r.content(byte(i), 8*mem.BlockSize)
		c.ID[1] = byte(i >> 8)
		refs := r.Acquire(c, 0, 8, 8)
		var both sync.WaitGroup
		both.Go(func() {
			for range refs {
				r.flights[i].Buffer()
				r.flights[i].Advance(mem.BlockSize)
			}
			r.flights[i].Done(nil)
		})
		both.Go(func() { r.Discard(c.ID, 0, c.Blocks()) })
		both.Wait()
		release(refs...)
	}
	if err := r.disk.Close(); err != nil {
		t.Fatal(err)
	}
	r.disk = nil
	r.close()
	tier := open()
	defer tier.Close()
	if n := tier.Stats().Blocks; n != 0 {
		t.Errorf("%d blocks that were given up are on disk", n)
	}
}
