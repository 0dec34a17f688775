package transfer

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/mem"
	"s3mount/internal/s3"
)

// fetchRig is a Fetcher in virtual time, and a server with one object at the other end of
// a link with a round trip, a bandwidth for each connection, and one for all.
type fetchRig struct {
	t       *testing.T
	object  s3.Object
	budget  *mem.Budget
	arena   *mem.Arena
	fetcher *Fetcher
	remote  *Remote
	server  *http.Server
	bytes   []byte // of the object, one period and a write
	conns   chan net.Conn
	closed  chan struct{}

	mu       sync.Mutex
	requests []fetchGet
	faults   func(n int, off, length int64) *fetchFault
	etag     string
	key      string
	free     time.Time // when the link is free again
}

// fetchFault is what goes wrong with one GET. The zero fault is none.
type fetchFault struct {
	Cut, Stall, Down bool
	Careless         bool  // ignores If-Match
	Bytes            int64 // sent before the cut or the stall
}

// fetchTestWrite is what the server sends at once.
const fetchTestWrite = 64 << 10

type fetchGet struct{ off, n int64 }

func fetchSim(t *testing.T, size, memory int64, run func(t *testing.T, g *fetchRig)) {
	t.Helper()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	synctest.Test(t, func(t *testing.T) {
		g := &fetchRig{t: t, budget: mem.New(memory), arena: mem.NewArena(), conns: make(chan net.Conn), closed: make(chan struct{})}
		g.bytes = make([]byte, fetchPeriod+fetchTestWrite)
		for i := range g.bytes {
			g.bytes[i] = fetchPattern(int64(i))
		}
		g.object = s3.Object{Key: "clip.bin", ETag: `"v1"`, Size: size}
		g.key, g.etag = g.object.Key, g.object.ETag
		g.server = &http.Server{Handler: g, ErrorLog: log.New(io.Discard, "", 0)}
		var serving sync.WaitGroup
		serving.Go(func() { g.server.Serve(g) })
		bucket, err := s3.Open(t.Context(), s3.Config{
			Bucket: "test", Endpoint: "http://127.0.0.1:1", Region: "us-east-1", Anonymous: true, DialContext: g.dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		g.fetcher = NewFetcher(FetchOptions{Bucket: bucket, Budget: g.budget, Arena: g.arena, Memory: memory / 4})
		g.remote = NewRemote(ContentIDOf(g.object), g.object)
		defer serving.Wait()
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
	if g.budget.Used() != 0 || g.arena.InUse() != 0 {
		g.t.Errorf("left behind: %d bytes leased, %d of the arena", g.budget.Used(), g.arena.InUse())
	} else {
		g.arena.Close()
	}
	g.server.Close()
	time.Sleep(time.Minute) // what the server still sends
	synctest.Wait()
	g.t.Logf("%+v", s)
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
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = nil
}

func (g *fetchRig) gets() []fetchGet {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests
}

func (g *fetchRig) fault(f func(n int, off, length int64) *fetchFault) { g.faults = f }

// overwrite replaces the object by another of the same size.
func (g *fetchRig) overwrite() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.etag = `"v2"`
}

// rename moves the object, and says where it is.
func (g *fetchRig) rename(key string) s3.Object {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.key = key
	o := g.object
	o.Key = key
	return o
}

// dial makes a connection, which takes a round trip.
func (g *fetchRig) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case <-time.After(fetchTestTrip):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case g.conns <- there:
		return here, nil
	case <-g.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make the rig a net.Listener.
func (g *fetchRig) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

func (g *fetchRig) Close() error {
	close(g.closed)
	return nil
}

func (g *fetchRig) Addr() net.Addr { return &net.IPAddr{} }

// ServeHTTP answers a range GET as S3 does.
func (g *fetchRig) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var off, last int64
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &off, &last); err != nil {
		g.t.Errorf("Range %q: %v", r.Header.Get("Range"), err)
	}
	n := last + 1 - off
	if off < 0 || n <= 0 || off+n > g.object.Size {
		g.t.Errorf("asked for %d bytes at %d of %d", n, off, g.object.Size)
	}
	time.Sleep(fetchTestTrip)
	g.mu.Lock()
	g.requests = append(g.requests, fetchGet{off, n})
	count, etag, key := len(g.requests), g.etag, g.key
	g.mu.Unlock()
	var fault fetchFault
	if g.faults != nil {
		if f := g.faults(count, off, n); f != nil {
			fault = *f
		}
	}
	path, _ := url.PathUnescape(r.URL.Path)
	switch {
	case fault.Down:
		panic(http.ErrAbortHandler)
	case !strings.HasSuffix(path, "/"+key):
		http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
		return
	case r.Header.Get("If-Match") != etag && !fault.Careless:
		http.Error(w, "<Error><Code>PreconditionFailed</Code></Error>", http.StatusPreconditionFailed)
		return
	}
	h := w.Header()
	h.Set("ETag", etag)
	h.Set("Content-Length", fmt.Sprint(n))
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, last, g.object.Size))
	w.WriteHeader(http.StatusPartialContent)
	if fault.Cut || fault.Stall {
		n = min(n, fault.Bytes)
	}
	g.send(w, r, off, n)
	if fault.Stall {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	if fault.Cut || fault.Stall {
		panic(http.ErrAbortHandler)
	}
}

// send writes bytes at the pace of the connection and of the link.
func (g *fetchRig) send(w io.Writer, r *http.Request, off, n int64) {
	ready := time.Now()
	for n > 0 && r.Context().Err() == nil {
		p := g.bytes[off%fetchPeriod:][:min(n, fetchTestWrite)]
		ready = ready.Add(fetchTestTime(len(p), fetchTestConn))
		g.mu.Lock()
		if now := time.Now(); g.free.Before(now) {
			g.free = now
		}
		g.free = g.free.Add(fetchTestTime(len(p), fetchTestLink))
		if g.free.After(ready) {
			ready = g.free
		}
		g.mu.Unlock()
		time.Sleep(time.Until(ready))
		if _, err := w.Write(p); err != nil {
			return
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
}

func fetchTestTime(n int, rate float64) time.Duration {
	return time.Duration(float64(n) / rate * 1e9)
}
