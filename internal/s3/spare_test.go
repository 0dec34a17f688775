package s3_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

const spareTrip = 30 * time.Millisecond

// spareNetwork counts the connections that are open.
type spareNetwork struct {
	srv        *s3test.Server
	made, open atomic.Int64
	broken     atomic.Bool
}

type spareNetConn struct {
	net.Conn
	network *spareNetwork
	closed  atomic.Bool
}

func (n *spareNetwork) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.broken.Load() {
		return nil, errors.New("no network")
	}
	conn, err := n.srv.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	n.made.Add(1)
	n.open.Add(1)
	return &spareNetConn{Conn: conn, network: n}, nil
}

func (c *spareNetConn) Close() error {
	if !c.closed.Swap(true) {
		c.network.open.Add(-1)
	}
	return c.Conn.Close()
}

func spareSim(t *testing.T, run func(t *testing.T, n *spareNetwork, b *s3.Bucket)) {
	synctest.Test(t, func(t *testing.T) {
		n := &spareNetwork{srv: s3test.New()}
		n.srv.SetLink(s3test.Link{RTT: spareTrip})
		b := s3test.Bucket(t, n.srv, func(c *s3.Config) { c.DialContext = n.dial })
		if _, err := b.Head(t.Context(), "k"); !errors.Is(err, s3.ErrNotFound) {
			t.Fatal(err)
		}
		run(t, n, b)
	})
}

// heads sends so many requests at once, and returns how long they took.
func heads(t *testing.T, b *s3.Bucket, n int) time.Duration {
	began := time.Now()
	together(t, n, func() error {
		if _, err := b.Head(t.Context(), "k"); !errors.Is(err, s3.ErrNotFound) {
			return err
		}
		return nil
	})
	return time.Since(began)
}

// TestExpectedRequestsFindConnections: without being expected, all but one of eight requests
// make a connection first.
func TestExpectedRequestsFindConnections(t *testing.T) {
	spareSim(t, func(t *testing.T, n *spareNetwork, b *s3.Bucket) {
		b.Expect()
		b.Expect() // no more of them
		time.Sleep(2 * spareTrip)
		if made := n.made.Load(); made != 8 {
			t.Errorf("%d connections, want 8", made)
		}
		if took := heads(t, b, 8); took > spareTrip {
			t.Errorf("requests took %v, want one round trip of %v", took, spareTrip)
		}
		if made := n.made.Load(); made != 8 {
			t.Errorf("%d connections after 8 requests, want 8", made)
		}
	})
}

// TestRequestTakesAConnectionThatIsBeingMade does not begin with one of its own.
func TestRequestTakesAConnectionThatIsBeingMade(t *testing.T) {
	spareSim(t, func(t *testing.T, n *spareNetwork, b *s3.Bucket) {
		b.Expect()
		time.Sleep(spareTrip / 2)
		if took := heads(t, b, 8); took != spareTrip*3/2 {
			t.Errorf("requests took %v, want half a round trip more than %v", took, spareTrip)
		}
	})
}

// TestSparesEnd: connections that nobody takes do not stay, and are made again.
func TestSparesEnd(t *testing.T) {
	spareSim(t, func(t *testing.T, n *spareNetwork, b *s3.Bucket) {
		b.Expect()
		time.Sleep(6 * time.Second)
		if open := n.open.Load(); open != 1 {
			t.Errorf("%d connections are open, want the one that was used", open)
		}
		b.Expect()
		time.Sleep(time.Second)
		if open := n.open.Load(); open != 8 {
			t.Errorf("%d connections are open, want 8", open)
		}
		b.Close()
		time.Sleep(time.Second)
		if open := n.open.Load(); open != 0 {
			t.Errorf("%d connections are open after Close", open)
		}
	})
}

// TestSparesThatFail leave nothing behind: the next requests make their own.
func TestSparesThatFail(t *testing.T) {
	spareSim(t, func(t *testing.T, n *spareNetwork, b *s3.Bucket) {
		n.broken.Store(true)
		b.Expect()
		time.Sleep(time.Second)
		n.broken.Store(false)
		if took := heads(t, b, 8); took > 2*spareTrip {
			t.Errorf("requests took %v, want two round trips of %v", took, spareTrip)
		}
		if open := n.open.Load(); open != 8 {
			t.Errorf("%d connections are open, want 8", open)
		}
	})
}
