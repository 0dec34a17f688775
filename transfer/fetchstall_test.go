package transfer

import (
	"testing"
	"time"

	"s3mount/internal/mem"
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
