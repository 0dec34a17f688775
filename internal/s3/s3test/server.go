// Package s3test is a small S3 server in memory, for tests. It speaks HTTP over
// net.Pipe, so it works inside testing/synctest, in virtual time, together with
// the real client. A fault script breaks single answers, a link gives every
// connection a bandwidth and a round trip.
//
// It never opens a socket or a file, and it checks no signatures. What it
// answers is held against real servers by the conformance test of package s3.
package s3test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Name is the bucket that exists from the start.
const Name = "bucket"

// Server is the fake. The zero value is not usable; see New.
type Server struct {
	http     http.Server
	listener *listener
	done     chan struct{} // closed by Close
	serving  sync.WaitGroup

	mu struct {
		sync.Mutex
		buckets   map[string]bool
		objects   map[string]*object // bucket + "/" + key
		keys      []string           // sorted; nil when it has to be made again
		versions  map[string]*object // by version ID, with versioning
		uploads   map[string]*upload
		requests  []*Request
		fault     func(*http.Request) *Fault
		link      Link
		shaper    *shaper
		minPart   int64
		versioned bool
		ignore    bool
		copyConds bool
		unordered bool
		sums      Sums
		serial    int
	}
}

// Request is one line of the log.
type Request struct {
	Op, Method, Bucket, Key string // Op is the name of the S3 operation
	Query                   url.Values
	Header                  http.Header
	Range                   string
	Bytes                   int64 // of the body received
	Sent                    int64 // of the body answered
	Status                  int   // 0 while it is being answered, or when it never was
	Start, End              time.Time
}

// New starts a server. Inside a synctest bubble, call it in the bubble, and
// Close it before the bubble ends.
func New() *Server {
	s := &Server{listener: newListener(), done: make(chan struct{})}
	s.mu.buckets = map[string]bool{Name: true}
	s.mu.objects = map[string]*object{}
	s.mu.versions = map[string]*object{}
	s.mu.uploads = map[string]*upload{}
	s.mu.minPart = 5 << 20
	s.http.Handler = s
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		s.http.Serve(s.listener)
	}()
	return s
}

// Close ends all connections. It may be called more than once.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.mu.Unlock()
	s.http.Close()
	s.serving.Wait()
}

// Dial makes a connection; it fits http.Transport and s3.Config.
func (s *Server) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	link, shared := s.mu.link, s.mu.shaper
	s.mu.Unlock()
	if err := sleep(ctx, link.RTT); err != nil {
		return nil, err
	}
	client, server := link.pipe(shared, s.done)
	if err := s.listener.put(ctx, server, s.done); err != nil {
		client.Close()
		server.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return client, nil
}

// BlackHole is a network on which nobody ever answers.
func BlackHole(ctx context.Context, network, addr string) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
}

// SetLink changes the network for connections that are made from now on.
func (s *Server) SetLink(l Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.link, s.mu.shaper = l, &shaper{}
}

// Fault sets the fault script: it is asked before each request is carried out,
// possibly from several goroutines, and returns nil to let it pass.
func (s *Server) Fault(script func(*http.Request) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.fault = script
}

// CreateBucket adds an empty bucket.
func (s *Server) CreateBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.buckets[name] = true
}

// SetMinPart changes the smallest size of a part that is not the last.
func (s *Server) SetMinPart(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.minPart = n
}

// SetVersioned keeps old versions readable by their ID, from now on.
func (s *Server) SetVersioned(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.versioned = on
}

// IgnoreConditions makes the server one of those that do not know If-Match and
// If-None-Match.
func (s *Server) IgnoreConditions(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.ignore = on
}

// HoldCopyConditions makes the server hold If-Match and If-None-Match of CopyObject on
// its target, as AWS does; MinIO and versitygw ignore them.
func (s *Server) HoldCopyConditions(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.copyConds = on
}

// ListUnordered makes the server one of those whose pages are not in the order of the keys.
func (s *Server) ListUnordered(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.unordered = on
}

// SetSums says which checksums the server knows.
func (s *Server) SetSums(known Sums) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.sums = known
}

// Requests is the log so far, in the order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Request, len(s.mu.requests))
	for i, r := range s.mu.requests {
		out[i] = *r
	}
	return out
}

// Count is how many requests of an operation came.
func (s *Server) Count(op string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Op == op {
			n++
		}
	}
	return n
}

// ClearRequests empties the log.
func (s *Server) ClearRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.requests = nil
}

// sortedKeys needs the lock.
func (s *Server) sortedKeys() []string {
	if s.mu.keys == nil {
		s.mu.keys = make([]string, 0, len(s.mu.objects))
		for k := range s.mu.objects {
			s.mu.keys = append(s.mu.keys, k)
		}
		slices.Sort(s.mu.keys)
	}
	return s.mu.keys
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
