package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// stopper bounds the time after the end of a mount: a time limit from the
// first signal on, and at once with the second.
type stopper struct {
	ctx    context.Context
	cancel context.CancelFunc
	limit  time.Duration // 0: none
	count  int
}

func newStopper(limit time.Duration) *stopper {
	ctx, cancel := context.WithCancel(context.Background())
	return &stopper{ctx: ctx, cancel: cancel, limit: limit}
}

// signal counts a signal and reports whether it was not the first.
func (s *stopper) signal() (again bool) {
	s.count++
	if s.count > 1 {
		s.cancel()
		return true
	}
	if s.limit > 0 {
		time.AfterFunc(s.limit, s.cancel)
	}
	return false
}

// drain publishes what is left, with progress on stderr. After an unmount it
// goes on as long as bytes move; after a signal until the limit.
func (h *host) drain(s *session, ctl *control, stop *stopper, signals <-chan os.Signal) (int, error) {
	if ctl != nil {
		ctl.setState("draining")
	}
	ctx, cancel := context.WithCancel(stop.ctx)
	defer cancel()
	go func() {
		for {
			select {
			case <-signals:
				stop.signal()
			case <-ctx.Done():
				return
			}
		}
	}()
	still := newWatchdog(h.drainTimeout, cancel)
	defer still.stop()
	p := newProgress(h.std.err)
	left, err := s.Drain(ctx, func(bytes int64, files int) {
		still.moved(bytes, files)
		p.show(bytes, files)
	})
	p.end()
	if left > 0 {
		return left, &problem{
			cause:  notYet(left),
			remedy: "it is safe in the cache directory " + h.cfg.CacheDir + ", mount again to go on",
			err:    err,
		}
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return left, err
}

// watchdog calls f when nothing has moved for a while.
type watchdog struct {
	limit time.Duration
	timer *time.Timer // nil: no limit

	mu struct {
		sync.Mutex
		bytes int64
		files int
	}
}

func newWatchdog(limit time.Duration, f func()) *watchdog {
	w := &watchdog{limit: limit}
	if limit > 0 {
		w.timer = time.AfterFunc(limit, f)
	}
	return w
}

func (w *watchdog) moved(bytes int64, files int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && (bytes != w.mu.bytes || files != w.mu.files) {
		w.timer.Reset(w.limit)
	}
	w.mu.bytes, w.mu.files = bytes, files
}

func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// progress shows what is left: one line that changes on a terminal, else a
// line every few seconds.
type progress struct {
	w        io.Writer
	terminal bool

	mu struct {
		sync.Mutex
		shown time.Time
		open  bool // the line on the terminal has no end yet
	}
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		p.terminal = err == nil
	}
	p.mu.shown = time.Now()
	return p
}

func (p *progress) show(bytes int64, files int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := 5 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	if files == 0 || time.Since(p.mu.shown) < every {
		return
	}
	p.mu.shown = time.Now()
	text := fmt.Sprintf("s3mount: %s to go, %s", plural(files, "file"), bytesText(bytes))
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		p.mu.open = true
		return
	}
	fmt.Fprintln(p.w, text)
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.mu.open = false
	}
}
