package transfer

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// TestReadGoesOnAfterAStall resumes a body that stands still after a second, and one that
// stands still again after two.
func TestReadGoesOnAfterAStall(t *testing.T) {
	fetchSim(t, 8<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		g.fault(func(count int, n int64) *s3test.Fault {
			switch count {
			case 1:
				return &s3test.Fault{Stall: true, After: 100_000}
			case 2:
				return &s3test.Fault{Stall: true}
			}
			return nil
		})
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		began := time.Now()
		g.check(r, 0, 200_000)
		if took := time.Since(began); took < 3*fetchLeastStall || took > 3*fetchLeastStall+time.Second {
			t.Errorf("took %v", took)
		}
		if x := g.gets()[1]; x.off != 100_000 {
			t.Errorf("went on at %d, want 100000", x.off)
		}
	})
}

// TestReadHedgesALateAnswer sends a second request when the first is not answered, and takes
// the first again when it is the second that gets none.
func TestReadHedgesALateAnswer(t *testing.T) {
	for _, late := range []s3test.Fault{{NoAnswer: true}, {Delay: time.Second}} {
		fetchSim(t, 64<<20, 256<<20, func(t *testing.T, g *fetchRig) {
			g.warm(4)
			g.fault(func(count int, n int64) *s3test.Fault {
				if count == 1 || late.Delay > 0 {
					return &late
				}
				return nil
			})
			r := g.fetcher.NewReader(g.remote)
			defer r.Close()
			began := time.Now()
			g.check(r, 0, 4096)
			want := late.Delay + fetchTestTrip
			if late.NoAnswer {
				want += fetchLeastPatience
			}
			if took := time.Since(began); took > want+fetchTestTrip {
				t.Errorf("took %v, want %v", took, want)
			}
			if s := g.fetcher.Stats(); s.Hedges != 1 || s.Fetched > 4*mem.BlockSize+mem.BlockSize {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestReadGoesOnBesideAStall has the requests of some files get no answer: another file is read at
// the speed of the link all the same.
func TestReadGoesOnBesideAStall(t *testing.T) {
	const n = 128 << 20
	fetchSim(t, 512<<20, 512<<20, func(t *testing.T, g *fetchRig) {
		g.warm(24)
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if off, _ := fetchTestRange(r.Header); off >= 1<<20 && strings.Contains(r.URL.Path, "stuck") {
				return &s3test.Fault{NoAnswer: true}
			}
			return nil
		})
		for i := range 4 {
			o := s3.Object{Key: fmt.Sprintf("stuck-%d.bin", i), Size: 512 << 20}
			o.ETag = g.server.PutPattern(o.Key, o.Size)
			r := g.fetcher.NewReader(NewRemote(ContentIDOf(o), o))
			defer r.Close()
			c, err := r.Read(t.Context(), 0, 1<<20) // opens a window
			if err != nil {
				t.Fatal(err)
			}
			c.Release()
		}
		time.Sleep(fetchTestTrip)
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		began := time.Now()
		g.sequential(r, 0, n, 128<<10)
		best := 2*fetchTestTrip + n*time.Second/fetchTestLink
		t.Logf("took %v, %v without the other files", time.Since(began), best)
		if took := time.Since(began); took > best+time.Second {
			t.Error("more than a second longer than without the other files")
		}
	})
}
