//go:build linux

package tests

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// darkness is how a line fails.
type darkness int

const (
	light   darkness = iota
	refuses          // connections are reset, and new ones too
	hole             // connections stay, and nothing passes
)

func (d darkness) String() string { return [...]string{"light", "refuses", "hole"}[d] }

// darkLine is the way to a server, which can go dark. It counts the bytes of objects
// that go to the server.
type darkLine struct {
	rate int64 // bytes of one request per second; 0: as they come

	mu       sync.Mutex
	mode     darkness
	lit      chan struct{} // closed when a hole ends
	conns    map[*darkConn]bool
	uploads  map[*http.Request]bool // on their way
	sent     int64                  // bytes of objects and parts
	requests int
}

// darkened is the server behind such a line.
func darkened(t *testing.T, s *server, rate int64) (*server, *darkLine) {
	t.Helper()
	target, err := url.Parse(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	d := &darkLine{rate: rate, lit: make(chan struct{}), conns: map[*darkConn]bool{}, uploads: map[*http.Request]bool{}}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is part of the signature
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // no answer of our own
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer d.count(r)()
		pass.ServeHTTP(w, r)
	}))
	front.Listener = &darkListener{front.Listener, d}
	front.Start()
	t.Cleanup(func() {
		d.set(light)
		front.CloseClientConnections()
		front.Close()
	})
	return &server{s.name, client{front.URL, s.access, s.secret}}, d
}

// count follows a request until the returned function is called.
func (d *darkLine) count(r *http.Request) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	if r.Method != http.MethodPut || r.ContentLength <= 0 {
		return func() {}
	}
	d.uploads[r] = true
	r.Body = &countedBody{r.Body, d}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.uploads, r)
	}
}

// set lets the line go dark, or light up. It returns how many bytes the uploads have
// that are on their way.
func (d *darkLine) set(mode darkness) (onTheWay int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for r := range d.uploads {
		onTheWay += r.ContentLength
	}
	if d.mode == light && mode != light {
		d.lit = make(chan struct{})
	}
	if mode != hole {
		for c := range d.conns {
			c.Conn.Close() // those in a hole are long dead for a router
		}
		clear(d.conns)
	}
	if d.mode != light && mode == light {
		close(d.lit)
	}
	d.mode = mode
	return onTheWay
}

func (d *darkLine) bytesSent() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent
}

// await returns when n bytes were sent.
func (d *darkLine) await(t *testing.T, n int64) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if d.bytesSent() < n {
			return errors.New("too few bytes were sent")
		}
		return nil
	})
}

type countedBody struct {
	io.ReadCloser
	line *darkLine
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 64<<10)])
	b.line.mu.Lock()
	b.line.sent += int64(n)
	b.line.mu.Unlock()
	if b.line.rate > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(b.line.rate))
	}
	return n, err
}

type darkListener struct {
	net.Listener
	line *darkLine
}

func (l *darkListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.line.mu.Lock()
		if l.line.mode == refuses {
			l.line.mu.Unlock()
			conn.(*net.TCPConn).SetLinger(0) // a reset
			conn.Close()
			continue
		}
		c := &darkConn{conn, l.line}
		l.line.conns[c] = true
		l.line.mu.Unlock()
		return c, nil
	}
}

// darkConn holds back what comes and goes while the line is a hole.
type darkConn struct {
	net.Conn
	line *darkLine
}

func (c *darkConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.pass()
	return n, err
}

func (c *darkConn) Write(p []byte) (int, error) {
	c.pass()
	return c.Conn.Write(p)
}

func (c *darkConn) pass() {
	c.line.mu.Lock()
	in, lit := c.line.mode == hole, c.line.lit
	c.line.mu.Unlock()
	if in {
		<-lit
	}
}

func (c *darkConn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}
