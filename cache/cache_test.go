package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/mem"
)

// rig is a cache over made-up contents, whose flights the test drives.
type rig struct {
	*Blocks
	t       *testing.T
	budget  *mem.Budget
	arena   *mem.Arena
	flights []*Flight
}

func newRig(t *testing.T, total, memory int64) *rig {
	r := &rig{t: t, budget: mem.New(total), arena: mem.NewArena()}
	r.Blocks = New(r.budget, r.arena, memory, nil)
	r.budget.SetReclaim(r.Reclaim)
	return r
}

func (r *rig) content(id byte, size int64) *Content {
	return &Content{ID: ContentID{id}, Size: size, Fill: func(f *Flight) { r.flights = append(r.flights, f) }}
}

// close checks that nothing is left.
func (r *rig) close() {
	r.t.Helper()
	r.Blocks.Close()
	if g := r.Gauges(); g != (Gauges{}) {
		r.t.Errorf("left behind: %+v", g)
	}
	if n := r.budget.Used(); n != 0 {
		r.t.Errorf("%d bytes still leased", n)
	}
	if n := r.arena.InUse(); n != 0 {
		r.t.Errorf("%d bytes of the arena still in use", n)
	}
	r.arena.Close()
}

// bring moves n bytes into a flight; the byte at offset o is pattern(o).
func bring(f *Flight, n int64) {
	for n > 0 {
		p := f.Buffer()
		if p == nil {
			return
		}
		off, _ := f.Range()
		k := min(int64(len(p)), n)
		for i := range k {
			p[i] = pattern(off + i)
		}
		f.Advance(int(k))
		n -= k
	}
}

func pattern(off int64) byte { return byte(off ^ off>>8 ^ off>>16*7) }

func release(refs ...*Ref) {
	for _, r := range refs {
		r.Release()
	}
}

const testBudget = 64 << 20

func TestOneFlightForARun(t *testing.T) {
	r := newRig(t, testBudget, 0)
	c := r.content(1, 10*mem.BlockSize-5)
	a := r.Acquire(c, 2, 100, 1)
	b := r.Acquire(c, 0, 5, 0)
	if len(a) != 8 || len(b) != 5 {
		t.Fatalf("got %d and %d refs, want 8 and 5", len(a), len(b))
	}
	if len(r.flights) != 2 {
		t.Fatalf("%d flights, want 2: blocks in flight are joined", len(r.flights))
	}
	if off, n := r.flights[0].Range(); off != 2*mem.BlockSize || n != 8*mem.BlockSize-5 {
		t.Errorf("first flight brings %d at %d", n, off)
	}
	if off, n := r.flights[1].Range(); off != 0 || n != 2*mem.BlockSize {
		t.Errorf("second flight brings %d at %d", n, off)
	}
	for _, f := range r.flights {
		bring(f, 100*mem.BlockSize)
		f.Done(nil)
	}
	for i, ref := range a {
		if err := ref.Wait(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		if got, want := ref.Bytes(3, 4)[0], pattern((int64(i)+2)*mem.BlockSize+3); got != want {
			t.Errorf("block %d: byte %d, want %d", i+2, got, want)
		}
	}
	release(a...)
	release(b...)
	r.close()
}

func TestWokenByWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testBudget, 0)
		refs := r.Acquire(r.content(1, 4*mem.BlockSize), 0, 4, 4)
		got := make(chan error, 1)
		go func() { got <- refs[1].Wait(context.Background(), 1000) }()
		bring(r.flights[0], mem.BlockSize+999)
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("woken before the bytes were there")
		}
		bring(r.flights[0], 1)
		synctest.Wait()
		if len(got) != 1 || <-got != nil {
			t.Fatal("not woken by the last byte that it needs")
		}
		r.flights[0].Done(errors.New("broken"))
		if err := refs[1].Wait(t.Context(), 1000); err != nil {
			t.Errorf("bytes that are there: %v", err)
		}
		if err := refs[1].Wait(t.Context(), 1001); err == nil || !refs[2].Failed() {
			t.Error("bytes that never come: no error")
		}
		release(refs...)
		r.close()
	})
}

func TestFailedBlocksAreFetchedAgain(t *testing.T) {
	r := newRig(t, testBudget, 0)
	c := r.content(1, mem.BlockSize)
	refs := r.Acquire(c, 0, 1, 1)
	r.flights[0].Done(errors.New("broken"))
	again := r.Acquire(c, 0, 1, 1)
	if len(r.flights) != 2 {
		t.Fatal("no second flight")
	}
	bring(r.flights[1], mem.BlockSize)
	r.flights[1].Done(nil)
	if err := again[0].Wait(t.Context(), mem.BlockSize); err != nil {
		t.Error(err)
	}
	release(append(refs, again...)...)
	r.close()
}

func TestCancelledWithTheLastRef(t *testing.T) {
	r := newRig(t, testBudget, 0)
	c := r.content(1, 8*mem.BlockSize)
	refs := r.Acquire(c, 0, 8, 0)
	twin := refs[3].Clone()
	bring(r.flights[0], 2*mem.BlockSize+7)
	release(refs...)
	if r.flights[0].Context().Err() != nil {
		t.Fatal("cancelled while somebody holds a block that is missing")
	}
	bring(r.flights[0], mem.BlockSize)
	if r.flights[0].Context().Err() != nil {
		t.Fatal("cancelled while the held block arrives")
	}
	twin.Release()
	if r.flights[0].Context().Err() == nil {
		t.Fatal("not cancelled with the last Ref")
	}
	// A new reader does not join what is dying.
	refs = r.Acquire(c, 3, 1, 1)
	if len(r.flights) != 2 {
		t.Fatal("joined a cancelled flight")
	}
	bring(r.flights[0], mem.BlockSize) // bytes that were on their way
	r.flights[0].Done(context.Canceled)
	r.flights[1].Done(nil)
	if err := refs[0].Wait(t.Context(), 1); err == nil {
		t.Error("a flight that ended early gave no error")
	}
	release(refs...)
	r.close()
}

func TestEndsEarlyWhenTheRestIsUnwanted(t *testing.T) {
	r := newRig(t, testBudget, 0)
	refs := r.Acquire(r.content(1, 8*mem.BlockSize), 0, 8, 1)
	release(refs[2:]...)
	bring(r.flights[0], 2*mem.BlockSize)
	if r.flights[0].Context().Err() == nil {
		t.Error("goes on for nobody")
	}
	r.flights[0].Done(context.Canceled)
	if err := refs[1].Wait(t.Context(), mem.BlockSize); err != nil {
		t.Error(err)
	}
	release(refs[:2]...)
	r.close()
}

func TestWaitEndsWithContextFlightGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testBudget, 0)
		refs := r.Acquire(r.content(1, mem.BlockSize), 0, 1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := refs[0].Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if r.flights[0].Context().Err() != nil {
			t.Error("the flight ended with the wait")
		}
		release(refs...)
		r.flights[0].Done(context.Canceled)
		r.close()
	})
}

func TestPrefetchOnlyTries(t *testing.T) {
	r := newRig(t, testBudget, 0)
	room := r.budget.Max(mem.Prefetch) / mem.BlockSize
	c := r.content(1, 1<<30)
	var all []*Ref
	for i := int64(0); ; {
		refs := r.Acquire(c, i, 8, 0)
		all = append(all, refs...)
		i += int64(len(refs))
		if len(refs) < 8 {
			break
		}
	}
	if got := int64(len(all)); got > room || got < room-8 {
		t.Errorf("%d blocks fetched ahead, room for %d", got, room)
	}
	// Demand still gets its own.
	refs := r.Acquire(c, 2000, 4, 4)
	if err := r.flights[len(r.flights)-1].Prepare(); err != nil || len(refs) != 4 {
		t.Errorf("demand: %d refs, %v", len(refs), err)
	}
	release(all...)
	release(refs...)
	for _, f := range r.flights {
		f.Done(context.Canceled)
	}
	r.close()
}

func TestDemandWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testBudget, 0)
		n := r.budget.Max(mem.Demand)
		r.budget.Try(mem.Demand, n)
		refs := r.Acquire(r.content(1, 1<<20), 0, 4, 4)
		if len(refs) != 4 {
			t.Fatalf("%d refs, want 4", len(refs))
		}
		ready := make(chan error, 1)
		go func() { ready <- r.flights[0].Prepare() }()
		synctest.Wait()
		if len(ready) != 0 {
			t.Fatal("did not wait")
		}
		r.budget.Release(mem.Demand, n)
		if err := <-ready; err != nil {
			t.Fatal(err)
		}
		bring(r.flights[0], 1<<20)
		r.flights[0].Done(nil)
		release(refs...)
		r.close()
	})
}

func TestMemoryTierKeepsConsumedBlocks(t *testing.T) {
	r := newRig(t, testBudget, 16<<20)
	c := r.content(1, 4*mem.BlockSize)
	refs := r.Acquire(c, 0, 4, 4)
	bring(r.flights[0], 4*mem.BlockSize)
	r.flights[0].Done(nil)
	for _, ref := range refs[:2] {
		ref.Consumed(100)
	}
	refs[2].Consumed(mem.BlockSize) // the kernel has it
	release(refs...)
	r.memory.lru.Wait()
	if got := r.budget.UsedBy(mem.Cached); got != 2*mem.BlockSize || r.budget.Used() != got {
		t.Errorf("%d bytes cached of %d leased, want the two that were consumed in part", got, r.budget.Used())
	}
	if !r.Ready(c, 100, 2*mem.BlockSize-100) || r.Ready(c, 100, 2*mem.BlockSize) {
		t.Error("Ready does not tell what is there")
	}
	refs = r.Acquire(c, 0, 2, 2)
	if len(r.flights) != 1 {
		t.Fatal("cached blocks were fetched again")
	}
	if got := refs[1].Bytes(5, 6)[0]; got != pattern(mem.BlockSize+5) {
		t.Errorf("wrong byte %d", got)
	}
	// Pinned blocks stay, the rest goes when others need memory.
	refs[0].Release()
	r.memory.lru.Wait()
	if freed := r.Reclaim(1); freed != mem.BlockSize {
		t.Errorf("freed %d, want the one block that nobody holds", freed)
	}
	if got := refs[1].Bytes(5, 6)[0]; got != pattern(mem.BlockSize+5) {
		t.Error("a pinned block was taken away")
	}
	refs[1].Release()
	r.close()
}

func TestReleaseTwicePanics(t *testing.T) {
	r := newRig(t, testBudget, 0)
	refs := r.Acquire(r.content(1, 1), 0, 1, 1)
	refs[0].Release()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
		r.flights[0].Done(nil)
		r.close()
	}()
	refs[0].Release()
}

// TestManyReaders reads at random from many goroutines with little memory, cancels, seeks
// and fails, and checks every byte, that no block is in flight twice, and the gauges.
func TestManyReaders(t *testing.T) {
	budget, arena := mem.New(24<<20), mem.NewArena()
	b := New(budget, arena, 8<<20, nil)
	budget.SetReclaim(b.Reclaim)
	var flying sync.WaitGroup
	var mu sync.Mutex
	missing := map[*Flight]int64{} // offset of the first byte that a flight has to bring
	c := &Content{ID: ContentID{7}, Size: 128*mem.BlockSize - 77}
	c.Fill = func(f *Flight) {
		off, n := f.Range()
		mu.Lock()
		for other, from := range missing {
			end := other.first*mem.BlockSize + other.size
			if max(from, off) < min(end, off+n) && other.Context().Err() == nil && f.Context().Err() == nil {
				t.Errorf("bytes %d-%d are in flight twice", max(from, off), min(end, off+n))
			}
		}
		missing[f] = off
		mu.Unlock()
		flying.Go(func() {
			err := f.Prepare()
			for err == nil {
				p := f.Buffer()
				if p == nil {
					break
				}
				n := min(len(p), 100_000)
				off, _ := f.Range()
				for i := range n {
					p[i] = pattern(off + int64(i))
				}
				mu.Lock()
				missing[f] += int64(n)
				mu.Unlock()
				f.Advance(n)
				if err = f.Context().Err(); err == nil && rand.IntN(50) == 0 {
					err = errors.New("broken")
				}
			}
			f.Done(err)
			mu.Lock()
			delete(missing, f)
			mu.Unlock()
		})
	}
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() {
			for range 150 {
				off := rand.Int64N(c.Size)
				first, n := off/mem.BlockSize, rand.Int64N(6)+1
				refs := b.Acquire(c, first, n, min(n, 2))
				ctx, cancel := context.WithCancel(context.Background())
				if rand.IntN(4) == 0 {
					cancel()
				}
				at := int(off % mem.BlockSize)
				if refs[0].Wait(ctx, at+1) == nil {
					refs[0].Consumed(1)
					if got := refs[0].Bytes(at, at+1)[0]; got != pattern(off) {
						t.Errorf("byte %d is %d, want %d", off, got, pattern(off))
					}
				}
				cancel()
				release(refs...)
			}
		})
	}
	readers.Wait()
	b.Close()
	flying.Wait()
	if g := b.Gauges(); g != (Gauges{}) || budget.Used() != 0 || arena.InUse() != 0 {
		t.Errorf("left behind: %+v, leased %d, in use %d", g, budget.Used(), arena.InUse())
	}
}
