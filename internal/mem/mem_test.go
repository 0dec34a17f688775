package mem

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetMinimums(t *testing.T) {
	b := New(800)
	if !b.Try(Prefetch, b.Max(Prefetch)) {
		t.Fatal("prefetch cannot take what nobody owns")
	}
	if b.Try(Prefetch, 1) {
		t.Error("prefetch took what others own")
	}
	for _, c := range []Class{Demand, Upload, Border} {
		if !b.Try(c, b.Min(c)) {
			t.Errorf("class %d did not get its minimum", c)
		}
		if b.Try(c, 1) {
			t.Errorf("class %d got more than there is", c)
		}
	}
	if got := b.Used(); got != 800 {
		t.Errorf("used %d, want 800", got)
	}
}

func TestBudgetTooLarge(t *testing.T) {
	b := New(800)
	if err := b.Lease(t.Context(), Demand, 800); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestBudgetLeaseWaitsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(800)
		all := b.Max(Demand)
		if err := b.Lease(t.Context(), Demand, all); err != nil {
			t.Fatal(err)
		}
		got := make(chan int, 2)
		lease := func(id int, n int64) {
			if b.Lease(t.Context(), Demand, n) == nil {
				got <- id
			}
		}
		go lease(1, 400)
		synctest.Wait()
		go lease(2, 10)
		synctest.Wait()
		b.Release(Demand, 100) // enough for the second, who came later
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("a small lease overtook a large one for ever")
		}
		if b.Try(Prefetch, 1) {
			t.Error("prefetch overtook a waiting lease")
		}
		b.Release(Demand, 350)
		synctest.Wait()
		if a, b := <-got, <-got; a+b != 3 {
			t.Errorf("served %d and %d", a, b)
		}
	})
}

func TestBudgetLeaseCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(800)
		all := b.Max(Demand)
		b.Try(Demand, all)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Lease(ctx, Demand, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want DeadlineExceeded", err)
		}
		b.Release(Demand, all)
		if b.Used() != 0 {
			t.Errorf("used %d after all was released", b.Used())
		}
	})
}

func TestBudgetReclaim(t *testing.T) {
	b := New(800)
	n := b.Max(Cached)
	b.Try(Prefetch, n)
	b.Move(Prefetch, Cached, n)
	b.SetReclaim(func(want int64) int64 {
		want = min(want, b.UsedBy(Cached))
		b.Release(Cached, want)
		return want
	})
	if !b.Try(Prefetch, 50) {
		t.Error("cached bytes were not given back for prefetch")
	}
}

func TestBudgetReleaseTooMuchPanics(t *testing.T) {
	b := New(800)
	b.Try(Demand, 5)
	mustPanic(t, func() { b.Release(Demand, 6) })
	mustPanic(t, func() { b.Move(Upload, Demand, 1) })
}

func TestBudgetMany(t *testing.T) {
	b := New(1 << 20)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 300 {
				c, n := Class(i%3), r.Int64N(100<<10)
				ctx, cancel := context.WithCancel(t.Context())
				if r.IntN(10) == 0 {
					cancel()
				}
				if b.Lease(ctx, c, n) == nil {
					if b.Used() > 1<<20 {
						t.Error("more leased than there is")
					}
					b.Release(c, n)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if b.Used() != 0 {
		t.Errorf("used %d at the end", b.Used())
	}
}

func TestArena(t *testing.T) {
	a := NewArena()
	seen := map[*byte]bool{}
	var all [][]byte
	for i := range 3*slabBlocks + 1 {
		p := a.Get()
		if len(p) != BlockSize || cap(p) != BlockSize || seen[&p[0]] {
			t.Fatalf("block %d: length %d, capacity %d, seen %v", i, len(p), cap(p), seen[&p[0]])
		}
		seen[&p[0]] = true
		p[0], p[BlockSize-1] = byte(i), byte(i)
		all = append(all, p)
	}
	if got, want := a.InUse(), int64(len(all)*BlockSize); got != want {
		t.Errorf("in use %d, want %d", got, want)
	}
	for i, p := range all {
		if p[0] != byte(i) || p[BlockSize-1] != byte(i) {
			t.Fatalf("block %d was overwritten", i)
		}
		a.Put(p)
	}
	mustPanic(t, func() { a.Put(all[0]) })
	mustPanic(t, func() { a.Put(make([]byte, BlockSize)) })
	a.Trim()
	a.Trim() // nothing was used since: all of it goes
	if len(a.mu.warm) != 0 {
		t.Errorf("%d blocks kept after two idle trims", len(a.mu.warm))
	}
	if p := a.Get(); len(p) != BlockSize {
		t.Error("no block after Trim")
	} else {
		mustPanic(t, a.Close)
		a.Put(p)
	}
	a.Close()
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}
