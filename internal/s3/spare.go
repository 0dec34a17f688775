package s3

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// spareMost is how many connections there are, in use or not, when requests are expected:
	// what the first reads of a file take.
	spareMost = 8
	// spareLife is for how long one waits that nobody takes. Servers end those on which
	// nothing is asked for.
	spareLife = 5 * time.Second
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// spares makes connections before a request needs them: a request that has to make its own
// takes a round trip longer. It makes them to the address that was asked for last, which may
// be that of a proxy, and without TLS, which the transport adds to those that it takes.
type spares struct {
	dial dialFunc

	mu            sync.Mutex
	network, addr string
	open          int // that are there or being made, taken or not
	free          []*spare
}

// spare is a connection that nobody has taken.
type spare struct {
	made chan struct{} // closed when it is there, or could not be made
	conn net.Conn
	err  error
}

// expect makes connections until there are as many as the first reads of a file take.
func (s *spares) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == "" {
		return
	}
	for ; s.open < spareMost; s.open++ {
		p := &spare{made: make(chan struct{})}
		s.free = append(s.free, p)
		go s.make(p, s.network, s.addr)
	}
}

// make makes a connection, and ends it when nobody takes it.
func (s *spares) make(p *spare, network, addr string) {
	p.conn, p.err = s.dial(context.Background(), network, addr)
	if p.err != nil {
		s.take(p)
		s.closed()
	} else {
		p.conn.(*stallConn).closed = sync.OnceFunc(s.closed)
		time.AfterFunc(spareLife, func() {
			if s.take(p) != nil {
				p.conn.Close()
			}
		})
	}
	close(p.made)
}

// take takes a spare out of the list, the oldest where none is named; nil: it is not there.
func (s *spares) take(p *spare) *spare {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.free {
		if p == nil || x == p {
			s.free = append(s.free[:i], s.free[i+1:]...)
			return x
		}
	}
	return nil
}

// DialContext gives a connection that was made before, or is being made, or a new one.
func (s *spares) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	if network != s.network || addr != s.addr {
		s.network, s.addr = network, addr
		s.drop()
	}
	s.mu.Unlock()
	if p := s.take(nil); p != nil {
		select {
		case <-p.made:
			return p.conn, p.err
		case <-ctx.Done():
			go p.end()
			return nil, ctx.Err()
		}
	}
	conn, err := s.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conn.(*stallConn).closed = sync.OnceFunc(s.closed)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	return conn, nil
}

// closed counts a connection that has ended.
func (s *spares) closed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// close ends the connections that nobody has taken.
func (s *spares) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

// drop is close for who holds the lock.
func (s *spares) drop() {
	for _, p := range s.free {
		go p.end()
	}
	s.free = nil
}

// end waits for the connection and ends it.
func (p *spare) end() {
	<-p.made
	if p.err == nil {
		p.conn.Close()
	}
}
