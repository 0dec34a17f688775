package s3

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// spareAhead is how many connections are made ahead of the requests that will need them.
	spareAhead = 4
	// spareWait is how long one waits for its request: servers end connections that bring none,
	// and firewalls forget them.
	spareWait = 10 * time.Second
)

// spares makes connections ahead: whoever opens a clip asks for its head, its tail and the
// first window one after the other, each in more requests than there are connections, and
// each new connection costs a round trip. Safe for concurrent use.
type spares struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu            sync.Mutex
	network, addr string // of the latest connection
	ready         []*spare
	dialing       int
	turn          int // of the calls of drop
}

// spare is a connection that no request has.
type spare struct {
	conn  net.Conn
	timer *time.Timer
}

// Dial takes a spare connection, or makes one, and has others made for the next requests.
func (s *spares) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	if network != s.network || addr != s.addr {
		s.dropLocked()
		s.network, s.addr = network, addr
	}
	conn := s.takeLocked()
	s.prepareLocked()
	s.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	return s.dial(ctx, network, addr)
}

// Prepare has connections made where the latest one went.
func (s *spares) Prepare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr != "" {
		s.prepareLocked()
	}
}

// Drop ends the connections that no request has.
func (s *spares) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked()
}

// takeLocked returns a connection that the server has not ended, nil when there is none.
func (s *spares) takeLocked() net.Conn {
	for len(s.ready) > 0 {
		last := s.ready[len(s.ready)-1]
		s.ready = s.ready[:len(s.ready)-1]
		last.timer.Stop()
		if alive(last.conn) {
			return last.conn
		}
		_ = last.conn.Close()
	}
	return nil
}

func (s *spares) prepareLocked() {
	for len(s.ready)+s.dialing < spareAhead {
		s.dialing++
		go s.add(s.network, s.addr, s.turn)
	}
}

// add makes a connection. Who needs one reports what goes wrong.
func (s *spares) add(network, addr string, turn int) {
	conn, err := s.dial(context.Background(), network, addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialing--
	if err != nil {
		return
	}
	if turn != s.turn {
		_ = conn.Close()
		return
	}
	made := &spare{conn: conn}
	made.timer = time.AfterFunc(spareWait, func() { s.expire(made) })
	s.ready = append(s.ready, made)
}

// expire ends a connection that found no request in time.
func (s *spares) expire(old *spare) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.ready {
		if x == old {
			s.ready = append(s.ready[:i], s.ready[i+1:]...)
			_ = old.conn.Close()
			return
		}
	}
}

func (s *spares) dropLocked() {
	s.turn++
	for _, x := range s.ready {
		x.timer.Stop()
		_ = x.conn.Close()
	}
	s.ready = nil
}
