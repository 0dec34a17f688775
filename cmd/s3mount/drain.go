package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
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
func (h *host) drain(s *session, ctl *control, stop *stopper, signals <-chan os.Signal) (backlog, error) {
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
	left, err := s.Drain(ctx, func(t totals) {
		still.moved(t.BytesLeft, t.FilesLeft)
		p.show(t)
		h.notify.setStatus(fmt.Sprintf("%s to go, %s to send%s", plural(t.FilesLeft, "file"), bytesText(t.BytesLeft), speedText(t)))
	})
	p.end()
	h.notify.setStatus("closing")
	if left.FilesLeft > 0 {
		return left, h.undrained(&left, err)
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return left, err
}

// undrained says what is left and how it goes on.
func (h *host) undrained(left *backlog, err error) error {
	open := left.writing()
	closed := left.FilesLeft - len(open)
	var said []string
	if closed > 0 {
		said = append(said, fmt.Sprintf("%s (%s to send); safe in the cache directory %s", notYet(closed), bytesText(left.BytesLeft), h.cfg.CacheDir))
	}
	if stuck := left.stuck(); len(stuck) > 0 {
		said = append(said, nameOne(stuck)+": "+stuck[0].Error)
	}
	if len(open) > 0 {
		said = append(said, nameOne(open)+" was still open for writing; what no close has ended is lost")
	}
	return &problem{
		cause:  strings.Join(said, "; "),
		remedy: "the next mount goes on: s3mount mount " + h.cfg.target().String() + " " + h.cfg.Mountpoint,
		err:    err, code: exitLeft,
	}
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
