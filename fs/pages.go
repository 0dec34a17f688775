package fs

import (
	"sync"
	"syscall"

	"s3mount/transfer"
)

// pages says what the kernel's page cache may hold of a file.
//
// Descriptors opened for writing only go past the page cache (three times the
// speed), all others through it. So that nobody reads old pages, a direct write drops
// those that it has outdated. While nobody uses them it only notes that, and the next
// open drops all, as it does when they are of another version.
//
// No page may be dropped while somebody writes through it: the kernel copies the bytes
// into the page, lets it go, and sends them then. Without the page, who reads in between
// brings the old bytes back, and they stay. It damages databases that two processes
// write. Direct writes are safe, the kernel runs one write to a file at a time. Opens are
// not. So they drop pages only when nobody else goes through them; others wait until it
// is done, and the kernel, which would do it at some time after the reply, is told to
// keep the pages.
type pages struct {
	mu struct {
		sync.Mutex
		cached   int            // open and reading or writing through the page cache
		writers  int            // of those, may write
		of       *transfer.File // whose bytes the kernel may have; nil: it has none
		stale    bool           // direct writes came since pages were last dropped
		dropping chan struct{}  // closed when they are dropped; nil: nobody does that
	}
}

// open counts a handle, and sees to it that it finds no old pages: drop drops all. It
// reports whether the kernel is to keep those that are there.
func (p *pages) open(h *handle, drop func() syscall.Errno) bool {
	if !h.paged {
		return true
	}
	p.mu.Lock()
	p.wait()
	old := p.mu.cached == 0 && p.mu.of != nil && (p.mu.stale || p.mu.of != h.file)
	p.mu.of = h.file
	if !h.direct {
		p.mu.cached++
		if h.write {
			p.mu.writers++
		}
	}
	if !old {
		p.mu.Unlock()
		return true
	}
	errno := p.drop(drop)
	return errno == 0 || errno == syscall.ENOENT
}

func (p *pages) close(h *handle) {
	if h.direct {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.cached--
	if h.write {
		p.mu.writers--
	}
}

// wrote drops the pages that a direct write has outdated. No lock is held: the kernel
// waits here for reads of the same pages. A write by a mapping may come through any
// handle, also a direct one; it is what the page holds, and the kernel would wait here
// for that very write.
func (p *pages) wrote(c *call, h *handle, off, n int64) {
	if _, writeback := h.node.fs.writebacks.Load(c.cancelled()); writeback || !h.direct {
		return
	}
	p.mu.Lock()
	cached := p.mu.cached > 0
	p.mu.stale = p.mu.stale || !cached && p.mu.of != nil
	p.mu.Unlock()
	if !cached {
		return
	}
	if errno := h.node.NotifyContent(off, n); errno != 0 && errno != syscall.ENOENT {
		h.node.fs.log.Warn("cached pages could not be dropped", "ino", h.node.names.Ino(), "off", off, "errno", errno.Error())
		p.mu.Lock()
		defer p.mu.Unlock()
		p.mu.stale = true
	}
}

// clear drops all pages on demand, and reports whether it was done. Where somebody may be
// writing through them, the next open does it that has nobody beside it.
func (p *pages) clear(drop func() syscall.Errno) (bool, syscall.Errno) {
	p.mu.Lock()
	p.wait()
	if p.mu.writers > 0 {
		p.mu.stale = true
		p.mu.Unlock()
		return false, 0
	}
	return true, p.drop(drop)
}

// wait returns when nobody drops the pages. The caller holds p.mu, which is let go
// meanwhile.
func (p *pages) wait() {
	for p.mu.dropping != nil {
		done := p.mu.dropping
		p.mu.Unlock()
		<-done
		p.mu.Lock()
	}
}

// drop has the kernel drop all pages while opens wait. The caller holds p.mu and has
// waited; it is let go.
func (p *pages) drop(all func() syscall.Errno) syscall.Errno {
	done := make(chan struct{})
	p.mu.stale, p.mu.dropping = false, done
	p.mu.Unlock()
	defer close(done)
	errno := all()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.dropping = nil
	return errno
}
