// Package link is a network link for benchmarks: a TCP proxy on the loopback
// with a round trip time, a bandwidth for each connection, and a bandwidth for
// all of them together in each direction. It counts bytes, connections and
// HTTP requests.
//
// It models delay and bandwidth only: no loss, no slow start, no TLS. It never
// changes a byte.
package link

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Profile is what a link can do.
type Profile struct {
	Name  string
	RTT   time.Duration
	Conn  float64 // bytes a second of each connection and direction; 0: no limit
	Total float64 // bytes a second of all connections in one direction; 0: no limit
}

// Counts is what has passed a link. A byte counts when it has left its sender.
type Counts struct {
	Up, Down int64 // bytes
	Conns    int64 // connections made
	Requests int64 // HTTP requests begun
	Puts     int64 // those of them that are PUT
	Gets     int64 // those of them that are GET
	Heads    int64 // those of them that are HEAD
}

// Sub is what passed between an earlier count and this one.
func (c Counts) Sub(before Counts) Counts {
	return Counts{
		Up: c.Up - before.Up, Down: c.Down - before.Down, Conns: c.Conns - before.Conns,
		Requests: c.Requests - before.Requests, Puts: c.Puts - before.Puts, Gets: c.Gets - before.Gets, Heads: c.Heads - before.Heads,
	}
}

// Link is a running link.
type Link struct {
	profile  Profile
	upstream string
	listener net.Listener
	up, down pace
	counts   struct{ up, down, conns, requests, puts, gets, heads atomic.Int64 }

	mu     sync.Mutex
	open   map[*relay]struct{}
	closed bool
	wg     sync.WaitGroup
}

// Listen starts a link on a free port of the loopback that ends at upstream.
func Listen(p Profile, upstream string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := newLink(p)
	l.upstream, l.listener = upstream, listener
	l.wg.Go(l.accept)
	return l, nil
}

func newLink(p Profile) *Link {
	l := &Link{profile: p, open: map[*relay]struct{}{}}
	l.up.rate, l.down.rate = p.Total, p.Total
	return l
}

// Addr is where clients connect.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Counts is what has passed so far.
func (l *Link) Counts() Counts {
	c := &l.counts
	return Counts{c.up.Load(), c.down.Load(), c.conns.Load(), c.requests.Load(), c.puts.Load(), c.gets.Load(), c.heads.Load()}
}

// Close ends the link and every connection through it.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for r := range l.open {
		r.close()
	}
	l.mu.Unlock()
	l.wg.Wait()
	return err
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() {
			server, err := net.Dial("tcp", l.upstream)
			if err != nil {
				client.Close()
				return
			}
			l.carry(client, server)
		})
	}
}

// carry passes bytes between two ends until both are done.
func (l *Link) carry(client, server net.Conn) {
	r := newRelay(l, client, server)
	l.mu.Lock()
	if l.closed {
		r.close()
	}
	l.open[r] = struct{}{}
	l.mu.Unlock()
	l.counts.conns.Add(1)
	r.run()
	l.mu.Lock()
	delete(l.open, r)
	l.mu.Unlock()
}
