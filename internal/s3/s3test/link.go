package s3test

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// Link is the network between client and server. The zero Link is as fast as
// the processor.
type Link struct {
	RTT time.Duration // one round trip; half of it each way

	Down, Up             int64 // bytes per second of one connection; 0: no limit
	SharedDown, SharedUp int64 // bytes per second of all connections together
}

const (
	packet = 16 << 10
	window = 4 << 20 // bytes under way on one connection, each way
)

// shaper is the line that all connections share.
type shaper struct{ down, up lane }

// lane gives out time on a line of some bandwidth.
type lane struct {
	mu   sync.Mutex
	free time.Time // when the bytes accepted so far have passed
}

// pass returns when n bytes at the given rate have passed.
func (l *lane) pass(now time.Time, n int, rate int64) time.Time {
	if rate <= 0 {
		return now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(int64(n) * int64(time.Second) / rate))
	return l.free
}

// pipe makes the two ends of a connection.
func (l Link) pipe(shared *shaper, done <-chan struct{}) (client, server net.Conn) {
	if l == (Link{}) {
		return net.Pipe()
	}
	client, near := net.Pipe()
	far, server := net.Pipe()
	carry(near, far, l.RTT/2, l.Up, l.SharedUp, &shared.up, done)
	carry(far, near, l.RTT/2, l.Down, l.SharedDown, &shared.down, done)
	return client, server
}

// parcel is bytes under way; at is when they arrive.
type parcel struct {
	data []byte
	at   time.Time
}

// carry moves bytes one way, until either end closes.
func carry(from, to net.Conn, delay time.Duration, rate, sharedRate int64, shared *lane, done <-chan struct{}) {
	queue := make(chan parcel, window/packet)
	gone := make(chan struct{}) // the receiver is
	go func() {
		defer close(queue)
		var own lane
		for {
			p := make([]byte, packet)
			n, err := from.Read(p)
			if n > 0 {
				passed := shared.pass(own.pass(time.Now(), n, rate), n, sharedRate)
				pause(time.Until(passed), done)
				select {
				case queue <- parcel{p[:n], time.Now().Add(delay)}:
				case <-gone:
					from.Close()
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer to.Close()
		defer close(gone)
		for p := range queue {
			pause(time.Until(p.at), done)
			if _, err := to.Write(p.data); err != nil {
				from.Close()
				return
			}
		}
	}()
}

func pause(d time.Duration, done <-chan struct{}) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
}

// listener hands connections from Dial to the HTTP server.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *listener) put(ctx context.Context, c net.Conn, done <-chan struct{}) error {
	select {
	case l.conns <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closed:
	case <-done:
	}
	return io.ErrClosedPipe
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "pipe" }
func (address) String() string  { return "s3test" }
