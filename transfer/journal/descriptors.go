package journal

import (
	"os"
	"sync"
)

// Bounds of how many spool files have descriptors, whatever the process may have.
const (
	leastOpen = 32
	mostOpen  = 2048
	openShare = 8 // of the limit of the process; each file takes two
)

// descriptors are those of one spool file. There may be many more files than a process may
// have open, so those of files at rest are closed, until somebody uses the file again.
type descriptors struct {
	spool *Spool
	path  string

	mu     sync.Mutex // nothing else is locked while it is held, but Spool.mu
	f      *os.File   // nil: closed
	direct *os.File   // the same file without the page cache; nil where the disk has none of that
	users  int
}

// use opens the file when it is closed, and keeps it open until done is called.
func (d *descriptors) use() (f, direct *os.File, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.f == nil {
		if d.f, err = os.OpenFile(d.path, os.O_RDWR, 0); err != nil {
			return nil, nil, err
		}
		d.direct = openDirect(d.path)
		d.spool.countOpen(1)
	}
	d.users++
	return d.f, d.direct, nil
}

// done ends a use.
func (d *descriptors) done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users--
}

// close closes what nobody uses, and tells whether there was anything to close.
func (d *descriptors) close() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.f == nil || d.users > 0 {
		return false
	}
	d.f.Close() // everything that had to be durable was synced before
	if d.direct != nil {
		d.direct.Close()
	}
	d.f, d.direct = nil, nil
	d.spool.countOpen(-1)
	return true
}

func (s *Spool) countOpen(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += n
}

// makeRoom closes files at rest when many are open. Those that are being written stay.
func (s *Spool) makeRoom() {
	s.mu.Lock()
	var all []*File
	if s.open >= s.maxOpen {
		for f := range s.files {
			all = append(all, f)
		}
	}
	surplus := s.open - s.maxOpen*3/4
	s.mu.Unlock()
	for _, f := range all {
		if surplus <= 0 {
			return
		}
		if f.rest() {
			surplus--
		}
	}
}

// rest closes the file's descriptors when everything that was written to it is on the disk:
// the kernel tells of a page that it could not write through them.
func (f *File) rest() bool {
	if !f.mu.TryLock() {
		return false
	}
	defer f.mu.Unlock()
	b := &f.behind
	if f.unsynced || f.removed || len(b.run.blocks)+len(b.waiting) > 0 || b.writing {
		return false
	}
	return f.fds.close()
}
