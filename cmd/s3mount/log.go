package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// logger is the log of a mount with what must be closed at its end.
type logger struct {
	*slog.Logger
	file *os.File    // nil: stderr
	held *heldWriter // nil: nothing is held back
}

// holdLimit is how long lines are held back at most: who waits longer for the
// mount wants to read why.
const holdLimit = 10 * time.Second

// openLog opens the log. With hold, and not at level debug, it stays silent on
// stderr until it is released: a mount that fails prints one line and no more.
func (c *mountCmd) openLog(std streams, hold bool) (*logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, err
	}
	l := &logger{}
	var w io.Writer
	if c.LogFile != "" {
		f, err := os.OpenFile(c.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, &problem{cause: pathError("cannot open the log file", c.LogFile, err), remedy: "name a file in a directory you may write to", err: err}
		}
		l.file, w = f, f
	} else {
		l.held = newHeldWriter(std.err, hold && level != slog.LevelDebug)
		w = l.held
	}
	l.Logger = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	return l, nil
}

// release prints what was held back, and all that comes from now on.
func (l *logger) release() {
	if l.held != nil {
		l.held.release()
	}
}

// Close closes the file. What is still held back is dropped.
func (l *logger) Close() {
	if l.held != nil {
		l.held.timer.Stop()
	}
	if l.file != nil {
		l.file.Close()
	}
}

// heldWriter keeps what is written until it is released.
type heldWriter struct {
	w     io.Writer
	timer *time.Timer

	mu struct {
		sync.Mutex
		open bool
		buf  bytes.Buffer
	}
}

func newHeldWriter(w io.Writer, hold bool) *heldWriter {
	h := &heldWriter{w: w}
	h.mu.open = !hold
	h.timer = time.AfterFunc(holdLimit, h.release)
	return h
}

func (h *heldWriter) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.open {
		return h.w.Write(p)
	}
	return h.mu.buf.Write(p)
}

func (h *heldWriter) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.open {
		return
	}
	h.mu.open = true
	_, _ = h.mu.buf.WriteTo(h.w)
}
