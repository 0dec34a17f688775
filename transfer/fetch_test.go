package transfer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

const (
	fetchTestTrip = 30 * time.Millisecond
	fetchTestConn = 50_000_000  // bytes/s of a connection
	fetchTestLink = 312_000_000 // bytes/s of all
)

// fetchPattern is the byte at off of the object.
func fetchPattern(off int64) byte {
	var p [1]byte
	s3test.Pattern{}.ReadAt(p[:], off)
	return p[0]
}

// check reads n bytes at off and compares them.
func (g *fetchRig) check(r *Reader, off int64, n int) {
	g.t.Helper()
	c, err := r.Read(context.Background(), off, n)
	if err != nil {
		g.t.Fatalf("read of %d at %d: %v", n, off, err)
	}
	defer c.Release()
	if want := int(min(int64(n), g.object.Size-off)); c.Len() != want {
		g.t.Fatalf("read of %d at %d: %d bytes, want %d", n, off, c.Len(), want)
	}
	at := off
	for _, s := range c.Slices() {
		for _, i := range []int{0, len(s) / 2, len(s) - 1} {
			if s[i] != fetchPattern(at+int64(i)) {
				g.t.Fatalf("read of %d at %d: wrong byte at %d", n, off, at+int64(i))
			}
		}
		at += int64(len(s))
	}
}

// once checks that no byte was asked of the bucket twice.
func (g *fetchRig) once() {
	g.t.Helper()
	seen := map[int64]bool{}
	for _, x := range g.gets() {
		for b := x.off / mem.BlockSize; b*mem.BlockSize < x.off+x.n; b++ {
			if seen[b] {
				g.t.Fatalf("block %d was asked for twice", b)
			}
			seen[b] = true
		}
	}
}

func (g *fetchRig) sequential(r *Reader, off, n int64, step int) {
	g.t.Helper()
	for end := off + n; off < end; off += int64(step) {
		g.check(r, off, int(min(int64(step), end-off)))
	}
}

func TestReadSequentialFillsTheLink(t *testing.T) {
	fetchSim(t, 384<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		g.warm(24)
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		began := time.Now()
		g.sequential(r, 0, g.object.Size, 128<<10)
		took := time.Since(began)
		best := fetchTestTrip + time.Duration(float64(g.object.Size)/fetchTestLink*1e9)
		if ratio := best.Seconds() / took.Seconds(); ratio < 0.9 {
			t.Errorf("%v, %.2f of the best possible", took, ratio)
		} else {
			t.Logf("%v, %.3f of the best possible", took, ratio)
		}
		g.once()
	})
}

func TestReadIsOneRoundTripAfterASeek(t *testing.T) {
	fetchSim(t, 1<<30, 256<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		for i, off := range []int64{500 << 20, 3 << 20, 900<<20 + 777} {
			began := time.Now()
			g.check(r, off, 4096)
			if took := time.Since(began); i > 0 && took > fetchTestTrip*5/4 {
				t.Errorf("4 KiB at %d took %v", off, took)
			}
		}
		if got := g.fetcher.Stats().Fetched; got > 3*2*mem.BlockSize {
			t.Errorf("%d bytes fetched for three small reads", got)
		}
	})
}

func TestReadDoesNotWaitForBytesBehind(t *testing.T) {
	fetchSim(t, 64<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		g.warm(1)
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		began := time.Now()
		g.check(r, 0, 128<<10) // fetches 1 MiB, of which the rest takes 18 ms more
		if took := time.Since(began); took > fetchTestTrip+10*time.Millisecond {
			t.Errorf("the first 128 KiB took %v", took)
		}
	})
}

// TestReadScrubbing has four players at 25 MB/s, each of which jumps every two seconds,
// starts a quarter of a second later and reads at most 8 MiB before the play position.
func TestReadScrubbing(t *testing.T) {
	fetchSim(t, 4<<30, 256<<20, func(t *testing.T, g *fetchRig) {
		g.warm(4)
		var wg sync.WaitGroup
		for i := range int64(4) {
			wg.Go(func() {
				r := g.fetcher.NewReader(g.remote)
				defer r.Close()
				for j := range int64(2) {
					g.play(t, r, (i*7+j*13)%29*(128<<20)+i*77777)
				}
			})
		}
		wg.Wait()
		s := g.fetcher.Stats()
		if ratio := float64(s.Fetched) / float64(s.Asked); ratio > 1.5 {
			t.Errorf("fetched %.2f times what was shown", ratio)
		} else {
			t.Logf("fetched %.2f times what was shown", ratio)
		}
	})
}

// play shows two seconds from off.
func (g *fetchRig) play(t *testing.T, r *Reader, off int64) {
	const preroll, period, ahead, shown = 250 * time.Millisecond, 42 * time.Millisecond, 8, 48
	began := time.Now()
	for k := range time.Duration(shown) {
		due := preroll + k*period
		time.Sleep(due - ahead*period - time.Since(began))
		g.sequential(r, off+int64(k)<<20, 1<<20, 128<<10)
		if late := time.Since(began) - due; late > 0 {
			t.Errorf("MiB %d after a seek is %v late", k, late)
		}
		if k == 0 && time.Since(began) > fetchTestTrip*2+fetchTestTrip/2 {
			t.Errorf("the first MiB took %v", time.Since(began))
		}
	}
	time.Sleep(preroll + shown*period - time.Since(began))
}

func TestReadManyStreamsStayInTheBudget(t *testing.T) {
	fetchSim(t, 4<<30, 64<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		var wg sync.WaitGroup
		for i := range int64(16) {
			wg.Go(func() { g.sequential(r, i*(256<<20), 6<<20, 128<<10) })
		}
		wg.Wait()
		if n := g.arena.InUse(); n > 64<<20 {
			t.Errorf("%d bytes of blocks", n)
		}
	})
}

func TestReadResumesBrokenBodies(t *testing.T) {
	fetchSim(t, 24<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		rnd := rand.New(rand.NewPCG(1, 2))
		g.fault(func(count int, n int64) *s3test.Fault {
			if n == 0 || rnd.IntN(2) == 0 { // a HEAD has no range
				return nil
			}
			return &s3test.Fault{Cut: true, After: rnd.Int64N(n)}
		})
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		g.sequential(r, 0, g.object.Size, 128<<10)
		if got := g.fetcher.Stats().Fetched; got != g.object.Size {
			t.Errorf("%d bytes came, want each of %d once", got, g.object.Size)
		}
	})
}

func TestReadSurvivesAnOutage(t *testing.T) {
	for _, outage := range []time.Duration{20 * time.Second, 10 * time.Minute} {
		fetchSim(t, 8<<20, 256<<20, func(t *testing.T, g *fetchRig) {
			began := time.Now()
			g.fault(func(count int, n int64) *s3test.Fault {
				if time.Since(began) > outage {
					return nil
				}
				return &s3test.Fault{Drop: true}
			})
			r := g.fetcher.NewReader(g.remote)
			defer r.Close()
			if outage < fetchPatience {
				g.check(r, 0, 4096)
				if took := time.Since(began); took > outage+15*time.Second {
					t.Errorf("took %v", took)
				}
				return
			}
			_, err := r.Read(t.Context(), 0, 4096)
			if took := time.Since(began); err == nil || !s3.Retryable(err) || took > 100*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
}

func TestReadOfAChangedObjectIsStale(t *testing.T) {
	fetchSim(t, 64<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		g.check(r, 0, 256<<10)
		g.overwrite()
		if _, err := r.Read(t.Context(), 32<<20, 4096); !errors.Is(err, ErrStale) {
			t.Errorf("got %v, want ErrStale", err)
		}
		g.check(r, 0, 256<<10) // of the version that was opened
	})
}

func TestReadNoticesAChangeThatTheServerDoesNot(t *testing.T) {
	fetchSim(t, 64<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		g.server.IgnoreConditions(true)
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		g.check(r, 0, 4096)
		g.overwrite()
		for range 2 {
			if _, err := r.Read(t.Context(), 32<<20, 4096); !errors.Is(err, ErrStale) {
				t.Errorf("got %v, want ErrStale", err)
			}
		}
	})
}

// TestReadChangedInTheMiddle overwrites the object while a wide window is being fetched.
func TestReadChangedInTheMiddle(t *testing.T) {
	fetchSim(t, 256<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		g.sequential(r, 0, 16<<20, 128<<10)
		g.overwrite()
		for off := int64(16 << 20); ; off += 128 << 10 {
			c, err := r.Read(t.Context(), off, 128<<10)
			if errors.Is(err, ErrStale) {
				return
			}
			if err != nil || off >= g.object.Size {
				t.Fatalf("at %d: %v, want ErrStale", off, err)
			}
			if got := c.Slices()[0][0]; got != fetchPattern(off) {
				t.Fatalf("wrong byte at %d", off)
			}
			c.Release()
		}
	})
}

func TestReadInterruptedGoesOn(t *testing.T) {
	fetchSim(t, 64<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := r.Read(ctx, 0, 4096); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		g.check(r, 0, 4096)
		if n := len(g.gets()); n != 1 {
			t.Errorf("%d requests, want the first to be used", n)
		}
	})
}

func TestReadCancelsWhatNobodyWants(t *testing.T) {
	fetchSim(t, 1<<30, 256<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		g.sequential(r, 0, 32<<20, 128<<10) // the window is wide now
		if g.fetcher.Stats().Flights < 4 {
			t.Fatalf("%d requests under way, want several", g.fetcher.Stats().Flights)
		}
		r.Close()
		time.Sleep(fetchTestTrip)
		if s := g.fetcher.Stats(); s.Flights != 0 || s.Refs != 0 {
			t.Errorf("%d requests and %d refs one round trip after the reader went", s.Flights, s.Refs)
		}
	})
}

func TestReadGivesUpWindowsThatWereLeft(t *testing.T) {
	fetchSim(t, 1<<30, 256<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		g.sequential(r, 0, 8<<20, 128<<10)
		time.Sleep(fetchIdle + 2*fetchSweep)
		if s := g.fetcher.Stats(); s.Refs != 0 {
			t.Errorf("an idle reader holds %d blocks", s.Refs)
		}
	})
}

func TestReadArchivedFailsAtOnce(t *testing.T) {
	fetchSim(t, 8<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		o := g.object
		o.Archived = true
		r := g.fetcher.NewReader(NewRemote(ContentIDOf(o), o))
		defer r.Close()
		if _, err := r.Read(t.Context(), 0, 4096); !errors.Is(err, s3.ErrArchived) {
			t.Errorf("got %v, want ErrArchived", err)
		}
		if len(g.gets()) != 0 {
			t.Error("an archived object was asked for")
		}
	})
}

func TestReadEdges(t *testing.T) {
	fetchSim(t, 3*mem.BlockSize+5, 64<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		for _, x := range []struct {
			off  int64
			n    int
			want int
		}{{0, 0, 0}, {g.object.Size, 10, 0}, {g.object.Size + 99, 10, 0}, {g.object.Size - 3, 10, 3}, {0, 10 << 20, int(g.object.Size)}} {
			c, err := r.Read(t.Context(), x.off, x.n)
			if err != nil || c.Len() != x.want {
				t.Fatalf("read of %d at %d: %d bytes, %v", x.n, x.off, c.Len(), err)
			}
			p := make([]byte, x.want+3)
			if n := c.CopyTo(p); n != x.want {
				t.Errorf("copied %d of %d", n, x.want)
			}
			c.Release()
		}
		r.Close()
		g.check(r, 7, 100) // a reader that was closed reads on, without a window
	})
}

func TestReadDeadlockFreeWithLittleMemory(t *testing.T) {
	fetchSim(t, 1<<30, 8<<20, func(t *testing.T, g *fetchRig) {
		var wg sync.WaitGroup
		for i := range uint64(16) {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(i, 3))
				r := g.fetcher.NewReader(g.remote)
				defer r.Close()
				for range 10 {
					g.check(r, rnd.Int64N(64<<20), rnd.IntN(1<<20)+1)
				}
			})
		}
		wg.Wait()
	})
}

func TestReadMovedObject(t *testing.T) {
	fetchSim(t, 64<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		g.check(r, 0, 4096)
		g.remote.Relocate(g.rename("elsewhere.mov"))
		g.check(r, 32<<20, 4096)
	})
}
