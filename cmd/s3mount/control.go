package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// PendingFile is a file whose content is not in the bucket yet.
type PendingFile struct {
	Path  string `json:"path"`  // below the mountpoint, with slashes
	State string `json:"state"` // "open", "waiting", "uploading", "failed"
	Size  int64  `json:"size"`  // bytes
	Done  int64  `json:"done"`  // bytes of it that the server has
	Error string `json:"error,omitempty"`
}

// mountStatus is what `s3mount status --json` prints for each mount.
type mountStatus struct {
	record
	State     string        `json:"state"` // "mounted", "draining", "ended"
	FilesLeft int           `json:"files_left"`
	BytesLeft int64         `json:"bytes_left"`
	Files     []PendingFile `json:"files"`
}

// outcome is how a mount ended.
type outcome struct {
	FilesLeft int    `json:"files_left"`
	Error     string `json:"error,omitempty"`
}

// controlled is what the control socket needs of a session.
type controlled interface {
	Pending() []PendingFile
	Wait(ctx context.Context, path string) error
}

// control answers the other commands on a unix socket with JSON over HTTP:
// GET /status, POST /wait?path=P (answers when it is in the bucket), and
// GET /end (begins to answer at once, and ends when the mount has ended, with
// how: who unmounts asks before, since the end may come at once). Whoever may open the
// socket owns the mount; no other check is made.
type control struct {
	rec     record
	session controlled
	srv     *http.Server
	served  chan struct{}
	ended   chan struct{} // closed when result is set

	mu struct {
		sync.Mutex
		state  string
		result outcome
	}
}

// listenControl removes a dead socket and listens.
func listenControl(rec record, s controlled) (*control, error) {
	if err := os.Remove(rec.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", rec.Socket)
	if err != nil {
		return nil, err
	}
	c := &control{rec: rec, session: s, served: make(chan struct{}), ended: make(chan struct{})}
	c.mu.state = "mounted"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", c.serveStatus)
	mux.HandleFunc("POST /wait", c.serveWait)
	mux.HandleFunc("GET /end", c.serveEnd)
	c.srv = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(c.served)
		_ = c.srv.Serve(l)
	}()
	return c, nil
}

func (c *control) setState(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.state = s
}

// finish tells those who wait for the end how it went, and stops answering.
func (c *control) finish(o outcome) {
	c.mu.Lock()
	c.mu.result, c.mu.state = o, "ended"
	c.mu.Unlock()
	close(c.ended)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if c.srv.Shutdown(ctx) != nil {
		c.srv.Close()
	}
	<-c.served
}

func (c *control) status() mountStatus {
	c.mu.Lock()
	st := mountStatus{record: c.rec, State: c.mu.state}
	c.mu.Unlock()
	st.Files = c.session.Pending()
	if st.Files == nil {
		st.Files = []PendingFile{}
	}
	st.FilesLeft = len(st.Files)
	for _, f := range st.Files {
		st.BytesLeft += max(f.Size-f.Done, 0)
	}
	return st
}

func (c *control) serveStatus(w http.ResponseWriter, r *http.Request) { answer(w, c.status()) }

func (c *control) serveWait(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-c.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := c.session.Wait(ctx, r.URL.Query().Get("path")); err != nil {
		answer(w, outcome{FilesLeft: len(c.session.Pending()), Error: oneLine(explain(err))})
		return
	}
	answer(w, outcome{})
}

func (c *control) serveEnd(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	select {
	case <-c.ended:
	case <-r.Context().Done():
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answer(w, c.mu.result)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
