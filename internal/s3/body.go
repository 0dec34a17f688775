package s3

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// blockBody is a request body that can write itself in blocks of its own. The SDK
// hands bodies to the transport in wrappers that hide this, so it goes there in the
// context; it saves a copy of every byte that is sent.
type blockBody interface {
	io.ReadSeeker
	io.WriterTo
}

type bodyKey struct{}

// withBody lets the transport have the body itself, where it is a blockBody.
func withBody(ctx context.Context, body io.ReadSeeker) context.Context {
	if b, ok := body.(blockBody); ok {
		return context.WithValue(ctx, bodyKey{}, b)
	}
	return ctx
}

// attemptBody is the body of one attempt. The transport may still read when the
// attempt has failed and the next one has begun: after Close it gets nothing.
type attemptBody struct {
	mu     sync.Mutex
	body   blockBody
	closed bool
}

func (a *attemptBody) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return a.body.Read(p)
}

// WriteTo is what stallConn.ReadFrom uses.
func (a *attemptBody) WriteTo(w io.Writer) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return a.body.WriteTo(w)
}

// Close waits for a write on its way: its connection is closed by then.
func (a *attemptBody) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	return nil
}

// ReadFrom sends a request's body, block by block where it can.
func (c *stallConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if body, ok := limited.R.(*attemptBody); ok {
			n, err := body.WriteTo(plainWriter{c})
			limited.N -= n
			return n, err
		}
	}
	return io.Copy(plainWriter{c}, r)
}

// plainWriter hides ReadFrom from io.Copy.
type plainWriter struct{ io.Writer }
