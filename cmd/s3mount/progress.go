package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// progress shows what is left: one line that changes on a terminal, else a
// line every few seconds, or none.
type progress struct {
	w        io.Writer
	terminal bool
	quiet    bool // nothing but notes where w is no terminal

	mu struct {
		sync.Mutex
		shown time.Time
		open  bool  // the line on the terminal has no end yet
		left  int64 // bytes at the last call; -1: there was none
		done  int64 // bytes since the first call
		noted map[string]bool
	}
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		p.terminal = isTerminal(f)
	}
	p.mu.shown, p.mu.left, p.mu.noted = time.Now(), -1, map[string]bool{}
	return p
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

func (p *progress) show(t totals) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.left >= 0 {
		p.mu.done += max(p.mu.left-t.BytesLeft, 0)
	}
	p.mu.left = t.BytesLeft
	every := 5 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	if t.FilesLeft == 0 || time.Since(p.mu.shown) < every || p.quiet && !p.terminal {
		return
	}
	p.mu.shown = time.Now()
	text := "s3mount: " + progressText(t, p.mu.done)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		p.mu.open = true
		return
	}
	fmt.Fprintln(p.w, text)
}

// progressText is files, bytes of all, speed and the time that is left.
func progressText(t totals, done int64) string {
	text := fmt.Sprintf("%s to go, %s of %s sent", plural(t.FilesLeft, "file"), bytesText(done), bytesText(done+t.BytesLeft))
	if t.OfflineSince != nil {
		return text + ", no answer from the server since " + t.OfflineSince.Local().Format(time.TimeOnly)
	}
	return text + speedText(t)
}

// speedText is ", 12 MB/s, about 1m20s"; empty when nothing moves.
func speedText(t totals) string {
	if t.BytesPerSecond == 0 {
		return ""
	}
	text := fmt.Sprintf(", %s/s", bytesText(t.BytesPerSecond))
	if t.ETASeconds != nil {
		text += ", about " + (time.Duration(*t.ETASeconds) * time.Second).String()
	}
	return text
}

// note prints a line that stays, once.
func (p *progress) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.noted[text] {
		return
	}
	p.mu.noted[text] = true
	if p.mu.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.mu.open = false
	}
	fmt.Fprintln(p.w, "s3mount: "+text)
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.mu.open = false
	}
}
