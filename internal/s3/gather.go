package s3

import (
	"context"
	"net"
	"net/http/httptrace"
	"syscall"
	"time"
)

const (
	// gatherTime is for how long bytes gather before who reads a body is woken.
	gatherTime = 10 * time.Millisecond
	// gatherMost is how many bytes gather, gatherLeast how many are worth it.
	gatherMost  = 256 << 10
	gatherLeast = 32 << 10
	// gatherSample is how many bytes tell the rate of a connection.
	gatherSample = 128 << 10
	// gatherSpare is more than the buffers of HTTP and TLS can hold of what has come.
	gatherSpare = 2*ioBuffer + 32<<10
)

// gather has the system wake who reads a body when a few milliseconds' worth of bytes have
// come, not for each packet: a wake costs as much CPU as the copy of 64 KiB. The first bytes
// of the body, its last, and those of slow connections come at once.
type gather struct {
	conn  syscall.RawConn // nil: not known, nothing gathers
	low   int             // bytes at which the system wakes; 0: any
	got   int64
	began time.Time // when the first bytes were read
}

// withGather returns a context for a request whose connection g is to know.
func withGather(ctx context.Context, g *gather) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		g.conn = rawConn(info.Conn)
	}})
}

// rawConn is the socket below TLS and our own wrapper; nil where there is none.
func rawConn(c net.Conn) syscall.RawConn {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	if own, ok := c.(*stallConn); ok {
		c = own.Conn
	}
	if socket, ok := c.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// took is told of n bytes that were read of the body, after which left are missing.
func (g *gather) took(n int, left int64) {
	if g.conn == nil {
		return
	}
	now := time.Now()
	if g.began.IsZero() {
		g.began = now // what came first was there before
		return
	}
	g.got += int64(n)
	low := gatherLow(g.got, now.Sub(g.began), left)
	if low == 0 && g.low == 0 || low > 0 && low > g.low/2 && low < 2*g.low {
		return
	}
	if setLowMark(g.conn, max(low, 1)) != nil {
		g.conn = nil
	}
	g.low = low
}

// gatherLow is how many bytes are to come before who reads is woken, 0 for any: got have
// come in this time, and left are missing.
func gatherLow(got int64, took time.Duration, left int64) int {
	if got < gatherSample {
		return 0
	}
	low := min(float64(got)/max(took.Seconds(), 1e-6)*gatherTime.Seconds(), gatherMost)
	if low < gatherLeast || int64(low)+gatherSpare > left {
		return 0
	}
	return int(low)
}
