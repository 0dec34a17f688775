package transfer

import (
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// TestReadFirstFrame reads what a player takes of a film with its index at the end: the head, the
// index, two frames of 2.5 MB. All of it is asked for with the first read.
func TestReadFirstFrame(t *testing.T) {
	const size, frames, shared = 2<<30 - 12345, 5e6, 312e6
	fetchSim(t, 256<<20, 256<<20, func(t *testing.T, g *fetchRig) {
		g.warm(16)
		g.object = s3.Object{Key: "film.mp4", Size: size, ETag: g.server.PutPattern("film.mp4", size)}
		g.remote = NewRemote(ContentIDOf(g.object), g.object)
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		began := time.Now()
		g.check(r, 0, 128<<10)
		g.check(r, size-8<<10, 8<<10)
		index := time.Since(began)
		g.sequential(r, 128<<10, frames-128<<10, 128<<10)
		took := time.Since(began)
		// 1 MiB takes 21 ms on a connection, and 8 MiB all of the link for 27 ms.
		if want := fetchTestTrip + 8*time.Millisecond; index > want {
			t.Errorf("the index was there after %v, want %v", index, want)
		}
		if want := fetchTestTrip + 30*time.Millisecond; took > want {
			t.Errorf("the first frames took %v, want %v", took, want)
		}
	})
}

// TestReadFirstFrameOfASlowLink: the head of a film does not hold up its index where the link is
// known to be slow.
func TestReadFirstFrameOfASlowLink(t *testing.T) {
	const size = 2 << 30
	readSim(t, simLink{30 * time.Millisecond, 10e6, 10e6, 0}, size, func(t *testing.T, g *fetchRig) {
		g.object = s3.Object{Key: "film.mp4", Size: size, ETag: g.server.PutPattern("film.mp4", size)}
		g.remote = NewRemote(ContentIDOf(g.object), g.object)
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		began := time.Now()
		g.check(r, 0, 32<<10)
		g.check(r, size-8<<10, 8<<10)
		if took := time.Since(began); took > 300*time.Millisecond {
			t.Errorf("the index was there after %v", took)
		}
	})
}

// TestReadSplitsAFirstRange jumps to places of a file: where one connection takes long for a read,
// several bring it; else one does.
func TestReadSplitsAFirstRange(t *testing.T) {
	for _, c := range []struct {
		link     simLink
		requests int
		most     time.Duration
	}{
		{simLink{30 * time.Millisecond, 50e6, 312e6, 0}, 4, 37 * time.Millisecond},
		{simLink{30 * time.Millisecond, 500e6, 500e6, 0}, 1, 36 * time.Millisecond},
	} {
		t.Run(c.link.String(), func(t *testing.T) {
			fetchSim(t, 1<<30, 256<<20, func(t *testing.T, g *fetchRig) {
				g.server.SetLink(s3test.Link{RTT: c.link.trip, Down: c.link.each, SharedDown: c.link.shared})
				g.warm(8)
				r := g.fetcher.NewReader(g.remote)
				defer r.Close()
				g.check(r, 100<<20, 1<<20) // tells what one connection brings
				for _, off := range []int64{500 << 20, 3 << 20, 900 << 20} {
					g.server.ClearRequests()
					began := time.Now()
					g.check(r, off, 1<<20)
					if took := time.Since(began); took > c.most {
						t.Errorf("1 MiB at %d took %v, want %v", off, took, c.most)
					}
					if n := len(g.gets()); n != c.requests {
						t.Errorf("%d requests for 1 MiB at %d, want %d", n, off, c.requests)
					}
				}
			})
		})
	}
}
