package plan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// testLink is a link of some bandwidth that requests share evenly, where none is
// faster than perConn, and each takes wait besides.
type testLink struct {
	total, perConn float64 // bytes per second
	wait           float64 // seconds
	noise          float64 // of the duration of a request, as a share
}

// knee is the least number of requests that fills the link.
func (l testLink) knee(size float64) float64 {
	return l.total * (l.wait + size/l.perConn) / size
}

// testRequest waits, and then sends.
type testRequest struct{ wait, left float64 }

// run sends requests for some seconds, and returns the rate of the last half.
func (l testLink) run(w *Window, seconds, size float64, rng *rand.Rand) (rate float64) {
	var flying []*testRequest
	now, sent := 0.0, 0.0
	for now < seconds {
		for len(flying) < w.Width() {
			wobble := 1 + l.noise*(2*rng.Float64()-1)
			flying = append(flying, &testRequest{l.wait * wobble, size * wobble})
		}
		active := 0.0
		for _, r := range flying {
			if r.wait <= 1e-9 {
				active++
			}
		}
		each := min(l.perConn, l.total/max(active, 1))
		step := math.Inf(1) // until something happens
		for _, r := range flying {
			if r.wait > 1e-9 {
				step = min(step, r.wait)
			} else {
				step = min(step, r.left/each)
			}
		}
		now += step
		next := flying[:0]
		for _, r := range flying {
			switch {
			case r.wait > 1e-9:
				r.wait -= step
			default:
				r.left -= each * step
			}
			if r.wait > 1e-9 || r.left > 1 {
				next = append(next, r)
				continue
			}
			w.Done(int64(now*1e9), int64(size), true)
			if now > seconds/2 {
				sent += size
			}
		}
		flying = next
	}
	return sent / (seconds / 2)
}

func TestWindowFindsTheKnee(t *testing.T) {
	const size = 8 << 20
	for _, l := range []testLink{
		{total: 312e6, perConn: 50e6, wait: 0.03, noise: 0.15},
		{total: 125e6, perConn: 50e6, wait: 0.03, noise: 0.15},
		{total: 1e9, perConn: 80e6, wait: 0.1, noise: 0.15},
		{total: 12.5e6, perConn: 12.5e6, wait: 0.05, noise: 0.15},
		{total: 2e9, perConn: 2e9, wait: 0.001, noise: 0.15},
		{total: 600e6, perConn: 30e6, wait: 0.2, noise: 0.3},
	} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("%v/%d", l, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 2))
				var w Window
				rate := l.run(&w, max(120, 2000*size/l.total), size, rng)
				knee := l.knee(size)
				best := min(l.total, windowMost*size/(l.wait+size/l.perConn))
				if rate < 0.9*best {
					t.Errorf("rate %.0f MB/s of %.0f at width %d, knee %.1f", rate/1e6, best/1e6, w.Width(), knee)
				}
				if most := max(3.5*knee, 4); float64(w.base) > math.Ceil(most) {
					t.Errorf("width %d is far beyond the knee %.1f", w.base, knee)
				}
			})
		}
	}
}

// TestWindowStays: a writer that is slower than the link changes nothing.
func TestWindowStays(t *testing.T) {
	var w Window
	for i := range int64(10000) {
		w.Done(i*1e8, 8<<20, false)
	}
	if w.Width() != windowStart {
		t.Errorf("width %d", w.Width())
	}
}

// TestWindowBounds: whatever it is told, it stays in its bounds.
func TestWindowBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var w Window
	now := int64(0)
	for range 200000 {
		now += rng.Int64N(1e9)
		w.Done(now, rng.Int64N(16<<20), rng.IntN(10) > 0)
		if w.Width() < windowLeast || w.Width() > windowMost {
			t.Fatalf("width %d", w.Width())
		}
	}
}
