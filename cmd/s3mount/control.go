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

// outcome is how a mount ended.
type outcome struct {
	FilesLeft int    `json:"files_left"`
	BytesLeft int64  `json:"bytes_left"`
	Error     string `json:"error,omitempty"`
}

// answered is the answer to what was asked to be done.
type answered struct {
	Files  int    `json:"files"` // that it concerns
	Error  string `json:"error,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// controlled is what the control socket needs of a session.
type controlled interface {
	Backlog(path string) backlog
	Wait(ctx context.Context, path string) waited
	Retry(ctx context.Context, path string) (files int, err error)
	Cancel(ctx context.Context, path string) error
	Refresh(path string) (names int)
	Owned() owned
	Uploads(ctx context.Context, o sweep) ([]uploadStatus, error)
	caching
}

// control answers the other commands on a unix socket with JSON over HTTP:
//
//	GET  /status?path=P    what is not in the bucket at P or below it
//	POST /wait?path=P      answers when it is in the bucket, or cannot be
//	POST /retry?path=P     tries now
//	POST /cancel?path=P    gives up one file
//	POST /refresh?path=P   forgets what is known there and below
//	GET  /owned            the uploads of this mount
//	POST /uploads          lists unfinished uploads, and aborts orphans
//	     /cache, /warm     see controlcache.go
//	GET  /end              begins to answer at once, and ends when the mount has ended,
//	                       with how: who unmounts asks before, since the end may come
//	                       at once
//
// Whoever may open the socket owns the mount; no other check is made.
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
	mux.HandleFunc("POST /retry", c.serveRetry)
	mux.HandleFunc("POST /cancel", c.serveCancel)
	mux.HandleFunc("POST /refresh", c.serveRefresh)
	mux.HandleFunc("GET /owned", c.serveOwned)
	mux.HandleFunc("POST /uploads", c.serveUploads)
	mux.HandleFunc("GET /end", c.serveEnd)
	c.routeCache(mux)
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

func (c *control) status(path string) mountStatus {
	c.mu.Lock()
	st := mountStatus{record: c.rec, State: c.mu.state}
	c.mu.Unlock()
	st.backlog = c.session.Backlog(path)
	return st
}

// serveStatus leaves the files without an error out when it is asked to: a card has
// many, and who shows progress asks often.
func (c *control) serveStatus(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	st := c.status(q.Get("path"))
	if q.Get("only") == "failing" {
		failing := []PendingFile{}
		for _, f := range st.Files {
			if f.Error != "" {
				failing = append(failing, f)
			}
		}
		st.Files = failing
	}
	answer(w, st)
}

// until is the context of a request, which also ends with the mount.
func (c *control) until(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	go func() {
		select {
		case <-c.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (c *control) serveWait(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := c.until(r)
	defer cancel()
	answer(w, c.session.Wait(ctx, r.URL.Query().Get("path")))
}

func (c *control) serveRetry(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := c.until(r)
	defer cancel()
	files, err := c.session.Retry(ctx, r.URL.Query().Get("path"))
	answer(w, answeredBy(files, err))
}

func (c *control) serveCancel(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := c.until(r)
	defer cancel()
	answer(w, answeredBy(1, c.session.Cancel(context.WithoutCancel(ctx), r.URL.Query().Get("path"))))
}

func (c *control) serveRefresh(w http.ResponseWriter, r *http.Request) {
	answer(w, answeredBy(c.session.Refresh(r.URL.Query().Get("path")), nil))
}

func answeredBy(files int, err error) answered {
	var p *problem
	switch {
	case err == nil:
		return answered{Files: files}
	case errors.As(err, &p):
		return answered{Error: oneLine(p.cause), Remedy: oneLine(p.remedy)}
	}
	return answered{Error: oneLine(err.Error()), Remedy: remedyOf(err)}
}

func (c *control) serveOwned(w http.ResponseWriter, _ *http.Request) { answer(w, c.session.Owned()) }

func (c *control) serveUploads(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := c.until(r)
	defer cancel()
	var o sweep
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	list, err := c.session.Uploads(ctx, o)
	answer(w, uploadsAnswer{Uploads: list, answered: answeredBy(len(list), err)})
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
