package s3_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// sleepyNetwork is a network whose connections a router forgets while the machine
// sleeps: what is sent on them afterwards arrives nowhere, and nobody says so.
type sleepyNetwork struct {
	srv    *s3test.Server
	slept  atomic.Int64 // nanoseconds
	sleeps atomic.Int64
}

type sleepyConn struct {
	net.Conn
	network *sleepyNetwork
	born    int64 // after so many sleeps
}

func (n *sleepyNetwork) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := n.srv.Dial(ctx, network, addr)
	return &sleepyConn{conn, n, n.sleeps.Load()}, err
}

func (c *sleepyConn) Write(p []byte) (int, error) {
	if c.born != c.network.sleeps.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestConnectionsAfterSleep: many connections rest in the pool, and a sleep makes all of
// them dead. Where the system tells of the sleep the next request goes on a fresh one at
// once; where it does not, the first that gets no answer takes the others along.
func TestConnectionsAfterSleep(t *testing.T) {
	for name, tt := range map[string]struct {
		told  bool
		limit time.Duration
	}{"told": {true, time.Second}, "not told": {false, 15 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &sleepyNetwork{srv: s3test.New()}
				n.srv.SetLink(s3test.Link{RTT: 30 * time.Millisecond})
				b := s3test.Bucket(t, n.srv, func(c *s3.Config) {
					c.DialContext = n.dial
					c.Asleep = func() time.Duration { return time.Duration(n.slept.Load()) }
				})
				ctx := context.Background()
				o, err := b.Put(ctx, "k", strings.NewReader("x"), 1, nil, s3.Properties{}, s3.Cond{})
				if err != nil {
					t.Fatal(err)
				}
				together(t, 16, func() error { _, err := b.Head(ctx, "k"); return err })
				together(t, 16, func() error { return readOne(ctx, b, o) })

				n.sleeps.Add(1)
				if tt.told {
					n.slept.Add(int64(8 * time.Hour))
				}
				start := time.Now()
				together(t, 4, func() error { _, err := b.Head(ctx, "k"); return err })
				together(t, 4, func() error { return readOne(ctx, b, o) })
				if _, err := b.Put(ctx, "k", strings.NewReader("y"), 1, nil, s3.Properties{}, s3.Cond{}); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > tt.limit {
					t.Errorf("the first requests after the sleep took %v, want at most %v", took, tt.limit)
				}
			})
		})
	}
}

func readOne(ctx context.Context, b *s3.Bucket, o s3.Object) error {
	body, _, err := b.GetRange(ctx, "k", o.ETag, "", 0, 1)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.ReadAll(body)
	return err
}

// together runs a request n times side by side, which takes n connections.
func together(t *testing.T, n int, f func() error) {
	t.Helper()
	var done sync.WaitGroup
	for range n {
		done.Go(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}
