package s3

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
)

const (
	defaultConns  = 128
	dialWait      = 5 * time.Second
	handshakeWait = 5 * time.Second
	stallWait     = 15 * time.Second // the next stallBytes of a request did not go out
	stallBytes    = 256 << 10
	idleWait      = 55 * time.Second
	ioBuffer      = 64 << 10
)

// pool is a set of connections for one kind of request. They are separate, so
// that nothing queues behind uploads, and because each kind has its own idea of
// how long a server may think.
//
// Metadata and reads share one: who looks a file up reads it next, and finds the
// connections there. It is so large that reads never take all of it.
type pool int

const (
	poolRead  pool = iota // GetObject, and small answers
	poolWrite             // PutObject, UploadPart
	poolSlow              // the server copies, assembles or deletes many before it answers
	pools
)

// headerWait is how long a server may take to begin its answer, once it has
// the whole request.
var headerWait = [pools]time.Duration{
	poolRead:  10 * time.Second,
	poolWrite: 30 * time.Second,
	poolSlow:  10 * time.Minute,
}

func poolOf(op string) pool {
	switch op {
	case "PutObject", "UploadPart":
		return poolWrite
	case "CopyObject", "UploadPartCopy", "CompleteMultipartUpload", "DeleteObjects":
		return poolSlow
	}
	return poolRead
}

// client sends the requests of the SDK and counts them.
type client struct {
	pools [pools]*http.Client
	count counters
	line  line
	sleep sleeper
	spare spares // of poolRead
}

func baseClient() *awshttp.BuildableClient { return awshttp.NewBuildableClient() }

// newClient starts from the client of the loaded configuration, which knows
// the CA bundle.
func newClient(base aws.HTTPClient, c Config) *client {
	build, ok := base.(*awshttp.BuildableClient)
	if !ok {
		build = baseClient()
	}
	out := &client{}
	out.sleep.start(c.Asleep)
	for p := range pools {
		t := build.GetTransport() // a copy
		tune(t, c, p, &out.line)
		if p == poolRead {
			out.spare.dial, t.DialContext = t.DialContext, out.spare.DialContext
		}
		// Not the SDK's own http.Client around it, which cannot close idle connections.
		out.pools[p] = &http.Client{Transport: t, CheckRedirect: sameMethod}
	}
	return out
}

// sameMethod follows only redirects that keep the method and the body, as the SDK does.
func sameMethod(r *http.Request, via []*http.Request) error {
	switch r.Response.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		if len(via) < 10 {
			return nil
		}
	}
	return http.ErrUseLastResponse
}

// tune sets up the connections of one pool.
func tune(t *http.Transport, c Config, p pool, l *line) {
	conns := c.MaxConns
	if conns <= 0 {
		conns = defaultConns
	}
	if p == poolRead {
		conns *= 2
	}
	// HTTP/2 would put all streams on one connection, and costs more CPU.
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.MaxConnsPerHost = conns
	t.MaxIdleConnsPerHost = conns
	t.MaxIdleConns = 0
	t.IdleConnTimeout = idleWait
	t.TLSHandshakeTimeout = handshakeWait
	t.ResponseHeaderTimeout = headerWait[p]
	t.ExpectContinueTimeout = time.Second
	t.DisableCompression = true
	t.ReadBufferSize, t.WriteBufferSize = ioBuffer, ioBuffer
	dial := dialer().DialContext
	if c.DialContext != nil {
		dial = c.DialContext
		t.Proxy = nil
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		limited, cancel := context.WithTimeout(ctx, dialWait)
		defer cancel()
		conn, err := dial(limited, network, addr)
		if err != nil {
			return nil, err
		}
		return &stallConn{Conn: conn, line: l}, nil
	}
}

func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         limitUnacknowledged,
	}
}

// Do sends a request through the pool of its operation.
func (c *client) Do(r *http.Request) (*http.Response, error) {
	op := middleware.GetOperationName(r.Context())
	if body, ok := r.Context().Value(bodyKey{}).(blockBody); ok && r.Body != nil && r.Body != http.NoBody {
		r.Body = &attemptBody{body: body}
	}
	c.count.request(op)
	if c.sleep.woke() {
		c.close()
	}
	resp, err := c.pools[poolOf(op)].Do(r)
	if err != nil {
		c.count.failures.Add(1)
		if r.Context().Err() == nil {
			c.line.failed()
			c.silent(err)
		}
		return resp, err
	}
	c.line.answered()
	if s := resp.StatusCode; s >= http.StatusInternalServerError || s == http.StatusTooManyRequests {
		c.count.trouble.Store(int32(s))
	} else {
		c.count.trouble.Store(0)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		c.count.failures.Add(1)
	} else if r.ContentLength > 0 {
		c.count.up.Add(r.ContentLength)
	}
	return resp, nil
}

// silent ends the idle connections when one has gone silent: after a change of the network
// they are probably as dead, and each would cost a try and a wait of its own.
func (c *client) silent(err error) {
	var e net.Error
	if errors.As(err, &e) && e.Timeout() {
		c.close()
	}
}

// close ends the idle connections.
func (c *client) close() {
	c.spare.close()
	for _, p := range c.pools {
		p.CloseIdleConnections()
	}
}

// stallConn ends a write that makes no progress: a request body may take as
// long as it likes, but not stand still.
type stallConn struct {
	net.Conn
	line   *line
	closed func() // called by each Close; may be nil
}

func (c *stallConn) Close() error {
	if c.closed != nil {
		c.closed()
	}
	return c.Conn.Close()
}

func (c *stallConn) Write(p []byte) (int, error) {
	done := 0
	for {
		if err := c.SetWriteDeadline(time.Now().Add(stallWait)); err != nil {
			return done, err
		}
		n, err := c.Conn.Write(p[done:min(done+stallBytes, len(p))])
		c.line.sent(n)
		if done += n; err != nil || done == len(p) {
			return done, err
		}
	}
}
