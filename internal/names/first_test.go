package names

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"s3mount/internal/s3/s3test"
)

// TestFirstByteInRoundTrips counts what it takes from a path to the first bytes, over
// connections that are there, in virtual time.
func TestFirstByteInRoundTrips(t *testing.T) {
	for name, c := range map[string]struct {
		size  int64
		stat  bool          // the attributes were asked for before
		wait  time.Duration // since then
		trips float64
	}{
		"unknown":           {size: 64 << 20, trips: 2},
		"unknown and small": {size: 100, trips: 2},
		"known":             {size: 64 << 20, stat: true, trips: 1},
		"known long ago":    {size: 64 << 20, stat: true, wait: 2 * treeTTL, trips: 2},
	} {
		t.Run(name, func(t *testing.T) {
			treeSim(t, "", func(t *testing.T, g *treeRig) {
				g.server.SetLink(s3test.Link{RTT: firstTrip})
				g.server.PutPattern("reel/clip.mov", c.size)
				g.server.PutPattern("reel/other.mov", c.size)
				time.Sleep(time.Minute) // else the time of an object does not tell versions apart
				g.warm("a", "b", "c")
				reel := g.at("reel")
				if c.stat {
					g.stat("reel/clip.mov")
				}
				time.Sleep(c.wait)
				g.server.ClearRequests()
				began := time.Now()
				g.firstByte(reel, "clip.mov")
				if took := float64(time.Since(began)) / float64(firstTrip); took > c.trips+0.1 {
					t.Errorf("%.2f round trips, want %v", took, c.trips)
					for _, r := range g.server.Requests() {
						t.Logf("%5.2f %s %s", float64(r.Start.Sub(began))/float64(firstTrip), r.Op, r.Key)
					}
				}
			})
		})
	}
}

// TestDirectoryInOneRoundTrip looks a directory up that nobody has listed: what its marker
// carries, or that there is none, comes with the listing.
func TestDirectoryInOneRoundTrip(t *testing.T) {
	for _, marked := range []bool{false, true} {
		treeSim(t, "", func(t *testing.T, g *treeRig) {
			g.server.SetLink(s3test.Link{RTT: firstTrip})
			g.server.PutPattern("reel/clip.mov", 100)
			if marked {
				g.server.PutObject("reel/", nil, http.Header{"X-Amz-Meta-Mode": {"16832"}})
			}
			time.Sleep(time.Minute)
			g.connect()
			took := g.trips(func() { g.stat("reel") })
			if took > 1.1 || g.server.Count("HeadObject") > 2 {
				t.Errorf("marked %v: %.2f round trips, %s", marked, took, g.counts())
			}
			if mode := g.at("reel").Known().Mode & 0o777; marked && mode != 0o700 {
				t.Errorf("mode %o", mode)
			}
		})
	}
}

const firstTrip = 30 * time.Millisecond

// warm leaves connections behind for metadata and for bytes, one for each name.
func (g *treeRig) warm(names ...string) {
	for _, name := range names {
		g.server.PutPattern("warm/"+name, 100)
	}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() { g.firstByte(g.at("warm"), name) })
	}
	wg.Wait()
	time.Sleep(time.Second)
}

func (g *treeRig) stat(path string) {
	g.t.Helper()
	if _, err := g.at(path).Attr(g.ctx); err != nil {
		g.t.Error(err)
	}
}

// firstByte does what the kernel does for a program that opens a file and reads.
func (g *treeRig) firstByte(dir *Node, name string) {
	g.t.Helper()
	n, err := g.tree.Lookup(g.ctx, dir, name)
	if err == nil && !n.Known().Exact { // it asks before it opens the file
		_, err = n.Attr(g.ctx)
	}
	if err != nil {
		g.t.Error(err)
		return
	}
	f, err := n.Open(g.ctx, false, false)
	if err != nil {
		g.t.Error(err)
		return
	}
	defer f.CloseHandle(false)
	p, err := f.Read(g.ctx, 0, 4<<10)
	if err != nil {
		g.t.Error(err)
		return
	}
	p.Release()
}

// TestWhoWaitsIsFirst: what is asked for ahead of a walk makes nobody wait who asks for
// one of the next himself.
func TestWhoWaitsIsFirst(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.SetLink(s3test.Link{RTT: firstTrip})
		for i := range maxAhead {
			g.server.PutPattern(fmt.Sprintf("d/%03d", i), 64<<20)
		}
		time.Sleep(time.Minute)
		g.connect()
		for i := range 3 { // the next ones are asked for ahead, headParallel at once
			g.stat(fmt.Sprintf("d/%03d", i))
		}
		took := g.trips(func() {
			var wg sync.WaitGroup
			for i := 3; i < maxAhead; i += 8 {
				wg.Go(func() { g.stat(fmt.Sprintf("d/%03d", i)) })
			}
			wg.Wait()
		})
		if took > 2.1 {
			t.Errorf("they wait for %.2f round trips, want one, and one to connect", took)
		}
	})
}

// TestNobodyWalks: who looks at files here and there gets no others ahead.
func TestNobodyWalks(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		const looks = 20
		for i := range pageSize {
			g.server.PutPattern(fmt.Sprintf("d/%03d", i), 64<<20)
		}
		time.Sleep(time.Minute)
		for i := range looks {
			g.stat(fmt.Sprintf("d/%03d", i*389%pageSize))
		}
		if n := g.server.Count("HeadObject"); n > looks+3 { // and three beside the two listings
			t.Errorf("%d HEADs for %d files", n, looks)
		}
	})
}
