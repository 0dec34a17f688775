package transfer

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// fetchRig is a Fetcher in virtual time, and a server with one object at the other end of
// a link with a round trip, a bandwidth for each connection, and one for all.
type fetchRig struct {
	t       *testing.T
	server  *s3test.Server
	object  s3.Object
	budget  *mem.Budget
	arena   *mem.Arena
	fetcher *Fetcher
	remote  *Remote
}

// fetchGet is a range that was asked for.
type fetchGet struct{ off, n int64 }

func fetchSim(t *testing.T, size, memory int64, run func(t *testing.T, g *fetchRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &fetchRig{t: t, server: s3test.New(), budget: mem.New(memory), arena: mem.NewArena()}
		g.server.SetLink(s3test.Link{RTT: fetchTestTrip, Down: fetchTestConn, SharedDown: fetchTestLink})
		g.object = s3.Object{Key: "clip.bin", Size: size}
		g.object.ETag = g.server.PutPattern(g.object.Key, size)
		g.fetcher = NewFetcher(FetchOptions{
			Bucket: s3test.Bucket(t, g.server), Budget: g.budget, Arena: g.arena, Memory: memory / 4,
		})
		g.remote = NewRemote(ContentIDOf(g.object), g.object)
		defer g.close()
		run(t, g)
	})
}

// close checks that nothing is left.
func (g *fetchRig) close() {
	g.fetcher.Close()
	s := g.fetcher.Stats()
	if s.Live != 0 || s.Refs != 0 || s.Flights != 0 {
		g.t.Errorf("left behind: %+v", s)
	}
	f := g.fetcher
	if slots := len(f.demand) + f.ahead.active + f.ahead.ending + len(f.ahead.waiting) + len(f.loads); slots != 0 || f.streams.Load() != 0 || !f.admission.TryAcquire(f.admitMax) {
		g.t.Errorf("left behind: %d slots, %d streams, or reads that were admitted", slots, f.streams.Load())
	}
	if g.budget.Used() != 0 || g.arena.InUse() != 0 {
		g.t.Errorf("left behind: %d bytes leased, %d of the arena", g.budget.Used(), g.arena.InUse())
	} else {
		g.arena.Close()
	}
	g.t.Logf("%+v", s)
	time.Sleep(time.Second) // the transport lets a dial go on that nobody waits for
}

// warm leaves n idle connections behind, as earlier reads do.
func (g *fetchRig) warm(n int64) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r := g.fetcher.NewReader(g.remote)
			defer r.Close()
			g.check(r, g.object.Size-(i+1)*(8<<20), 4096)
		})
	}
	wg.Wait()
	time.Sleep(time.Second)
	g.server.ClearRequests()
}

// gets lists what was asked of the bucket.
func (g *fetchRig) gets() []fetchGet {
	g.t.Helper()
	var out []fetchGet
	for _, r := range g.server.Requests() {
		if r.Op != "GetObject" {
			continue // a HEAD for the checksum
		}
		if r.Header.Get("If-Match") != g.object.ETag {
			g.t.Errorf("asked for %q of whatever version there is", r.Range)
		}
		off, n := fetchTestRange(r.Header)
		if off < 0 || n <= 0 || off+n > g.object.Size {
			g.t.Errorf("asked for %q of %d bytes", r.Range, g.object.Size)
		}
		out = append(out, fetchGet{off, n})
	}
	return out
}

func fetchTestRange(h http.Header) (off, n int64) {
	var last int64
	if _, err := fmt.Sscanf(h.Get("Range"), "bytes=%d-%d", &off, &last); err != nil {
		return 0, 0
	}
	return off, last + 1 - off
}

// fault breaks GETs: f is told the number of the GET, from 1 on, and its length.
func (g *fetchRig) fault(f func(count int, n int64) *s3test.Fault) {
	var mu sync.Mutex
	count := 0
	g.server.Fault(func(r *http.Request) *s3test.Fault {
		_, n := fetchTestRange(r.Header)
		mu.Lock()
		defer mu.Unlock()
		count++
		return f(count, n)
	})
}

// overwrite replaces the object by another.
func (g *fetchRig) overwrite() { g.server.PutPattern(g.object.Key, g.object.Size+1) }

// rename moves the object, and says where it is.
func (g *fetchRig) rename(key string) s3.Object {
	g.server.Delete(g.object.Key)
	o := g.object
	o.Key, o.ETag = key, g.server.PutPattern(key, o.Size)
	return o
}
