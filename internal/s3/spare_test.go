package s3

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network whose connections take 30 ms to make.
type pipes struct {
	made, open atomic.Int64
	down       atomic.Bool
}

type pipe struct {
	net.Conn
	of *pipes
}

func (p *pipe) Close() error {
	p.of.open.Add(-1)
	return p.Conn.Close()
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	select {
	case <-time.After(30 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.down.Load() {
		return nil, errors.New("no network")
	}
	near, _ := net.Pipe()
	p.made.Add(1)
	p.open.Add(1)
	return &pipe{near, p}, nil
}

// take makes a connection, and tells how long that took.
func (p *pipes) take(t *testing.T, s *spares) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := s.Dial(context.Background(), "tcp", "server:9000"); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func TestSpareConnectionsAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pipes
		s := &spares{dial: p.dial}
		s.Prepare() // nobody knows where to
		if took := p.take(t, s); took != 30*time.Millisecond {
			t.Errorf("the first one took %v, want a round trip", took)
		}
		synctest.Wait()
		for i := range spareAhead {
			if took := p.take(t, s); took != 0 {
				t.Errorf("number %d took %v, want none", i+2, took)
			}
		}
		time.Sleep(40 * time.Millisecond)
		if n := p.open.Load(); n != 1+2*spareAhead {
			t.Errorf("%d connections, want those in use and %d", n, spareAhead)
		}
		time.Sleep(spareWait)
		if n := p.open.Load(); n != 1+spareAhead {
			t.Errorf("%d connections after a while, want those in use only", n)
		}
		s.Prepare()
		time.Sleep(40 * time.Millisecond)
		if took := p.take(t, s); took != 0 {
			t.Errorf("took %v, want none", took)
		}
		s.Drop()
		time.Sleep(40 * time.Millisecond)
		if n := p.open.Load(); n != 2+spareAhead {
			t.Errorf("%d connections in the end, want those in use only", n)
		}
	})
}

func TestSpareConnectionsOfAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pipes
		s := &spares{dial: p.dial}
		p.take(t, s)
		time.Sleep(40 * time.Millisecond)
		began := time.Now()
		if _, err := s.Dial(context.Background(), "tcp", "other:9000"); err != nil || time.Since(began) == 0 {
			t.Errorf("%v after %v, want a connection of its own", err, time.Since(began))
		}
		s.Drop()
		time.Sleep(40 * time.Millisecond)
		if n := p.open.Load(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}

func TestNoSpareConnectionsWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pipes
		p.down.Store(true)
		s := &spares{dial: p.dial}
		if _, err := s.Dial(context.Background(), "tcp", "server:9000"); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.dialing != 0 || len(s.ready) != 0 {
			t.Errorf("%d being made, %d there", s.dialing, len(s.ready))
		}
	})
}

// TestDeadSpareConnection takes none that the server has ended.
func TestDeadSpareConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() (near, far net.Conn) {
		near, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return near, <-accepted
	}
	good, far := dial()
	defer good.Close()
	defer far.Close()
	dead, end := dial()
	if err := end.(*net.TCPConn).SetLinger(0); err != nil { // ends it at once
		t.Fatal(err)
	}
	end.Close()
	if _, err := dead.Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection was not ended")
	}
	s := &spares{ready: []*spare{{good, time.NewTimer(0)}, {dead, time.NewTimer(0)}}}
	if conn := s.takeLocked(); conn != good {
		t.Errorf("took %v, want the one that lives", conn)
	}
	if conn := s.takeLocked(); conn != nil {
		t.Error("took one that is not there")
	}
}
