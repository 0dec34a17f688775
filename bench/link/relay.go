package link

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkSize    = 64 << 10
	socketBuffer = 512 << 10
	minWindow    = 1 << 20
)

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// relay is one connection through the link.
type relay struct {
	link           *Link
	client, server net.Conn
	ready          time.Time   // when the handshake is over
	answered       atomic.Bool // the server has said something since the last request
}

func newRelay(l *Link, client, server net.Conn) *relay {
	for _, c := range []net.Conn{client, server} {
		if t, ok := c.(*net.TCPConn); ok {
			// Deep buffers would let a sender run far ahead of the link.
			_ = t.SetReadBuffer(socketBuffer)
			_ = t.SetNoDelay(true)
		}
	}
	r := &relay{link: l, client: client, server: server, ready: time.Now().Add(l.profile.RTT)}
	r.answered.Store(true)
	return r
}

func (r *relay) close() {
	r.client.Close()
	r.server.Close()
}

func (r *relay) run() {
	var wg sync.WaitGroup
	wg.Go(func() { r.direction(r.client, r.server, &r.link.up, &r.link.counts.up, r.request) })
	wg.Go(func() { r.direction(r.server, r.client, &r.link.down, &r.link.counts.down, r.answer) })
	wg.Wait()
	r.close()
}

// direction carries the bytes of one direction: they leave at the pace of the
// connection, then at that of the link, and arrive half a round trip later.
func (r *relay) direction(from, to net.Conn, total *pace, count *atomic.Int64, look func([]byte)) {
	p := r.link.profile
	own := pace{rate: p.Conn}
	q := newQueue(window(p))
	var wg sync.WaitGroup
	wg.Go(func() {
		if !deliver(q, to) {
			r.close()
		}
	})
	time.Sleep(time.Until(r.ready))
	for {
		buf := chunks.Get().(*[chunkSize]byte)
		n, err := from.Read(buf[:])
		if n > 0 {
			look(buf[:n])
			left := own.pass(n)
			if t := total.pass(n); t.After(left) {
				left = t
			}
			// The credit is for the rate only: nothing arrives early.
			if now := time.Now(); left.Before(now) {
				left = now
			}
			count.Add(int64(n))
			q.push(parcel{buf, n, left.Add(p.RTT / 2)})
		} else {
			chunks.Put(buf)
		}
		if err != nil {
			break
		}
	}
	q.end()
	wg.Wait()
}

// deliver writes what arrives, each when it is due. It reports whether all of
// it went out.
func deliver(q *queue, to net.Conn) bool {
	for {
		p, ok := q.pop()
		if !ok {
			break
		}
		time.Sleep(time.Until(p.due))
		_, err := to.Write(p.buf[:p.n])
		chunks.Put(p.buf)
		q.done(p.n)
		if err != nil {
			q.abandon()
			return false
		}
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite() == nil
	}
	return to.Close() == nil
}

// window is how much may be on its way: twice what fills the connection.
func window(p Profile) int {
	rate := p.Conn
	if rate <= 0 {
		rate = p.Total
	}
	return max(minWindow, int(2*rate*p.RTT.Seconds()))
}

var methods = [...][]byte{[]byte("GET /"), []byte("PUT /"), []byte("POST /"), []byte("HEAD /"), []byte("DELETE /")}

// request counts a request. Clients of S3 wait for an answer before the next
// request, so one begins with the first bytes after an answer.
func (r *relay) request(b []byte) {
	if !r.answered.Load() {
		return
	}
	for i, m := range methods {
		if bytes.HasPrefix(b, m) {
			r.answered.Store(false)
			r.link.counts.requests.Add(1)
			switch i {
			case 0:
				r.link.counts.gets.Add(1)
			case 1:
				r.link.counts.puts.Add(1)
			case 3:
				r.link.counts.heads.Add(1)
			}
			return
		}
	}
}

func (r *relay) answer(b []byte) {
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 100 ")) { // the body follows
		r.answered.Store(true)
	}
}
