package s3test

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// Later is requests that arrive whole, whose clients then lose the connection, and that are
// carried out afterwards: servers go on with what they have when a client dies.
type Later struct {
	once    sync.Once
	begin   chan struct{}
	pending sync.WaitGroup
}

// NewLater makes an empty Later, for Fault.
func NewLater() *Later { return &Later{begin: make(chan struct{})} }

// CarryOut carries out what has arrived, and returns when that is done. What arrives
// afterwards is carried out at once.
func (l *Later) CarryOut() {
	l.once.Do(func() { close(l.begin) })
	l.pending.Wait()
}

// late takes the request and breaks its connection.
func (s *Server) late(c *call, l *Later) {
	body, err := io.ReadAll(c.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client died before it had sent all
	}
	c.Body = io.NopCloser(bytes.NewReader(body))
	l.pending.Add(1)
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		defer l.pending.Done()
		select {
		case <-l.begin:
			_ = s.route(&answer{ResponseWriter: unheard{}, s: s, r: c.Request}, c) // nobody hears of it
		case <-s.done:
		}
	}()
	panic(http.ErrAbortHandler)
}

// unheard is where answers go that have no client.
type unheard struct{}

func (unheard) Header() http.Header         { return http.Header{} }
func (unheard) Write(p []byte) (int, error) { return len(p), nil }
func (unheard) WriteHeader(int)             {}
