package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// File is one spool file. It is reference counted: its bytes stay readable until
// the last user is done, also after Remove.
//
// What is written in order goes past the page cache in large blocks (see behind);
// everything else, and what is smaller than that is worth, goes through it.
type File struct {
	spool *Spool
	fds   descriptors

	syncing sync.Mutex // one Sync at a time; taken before mu

	mu       sync.Mutex
	cond     *sync.Cond // on mu: blocks reached the file
	behind   behind
	reserved int64
	unsent   int64 // bytes in the page cache since writeback was started last
	cached   int64 // bytes that were written through the page cache
	uncached int64 // and past it
	refs     int
	removed  bool
	named    bool // the directory entry is on disk
	unsynced bool // something reached the file since the last Sync began
	doubtful bool // it is of an earlier process, and there was no Sync yet
	failed   error
}

func (s *Spool) newFile(id string) *File {
	x := &File{spool: s, refs: 1}
	x.fds.spool, x.fds.path = s, filepath.Join(s.dir, id)
	x.cond = sync.NewCond(&x.mu)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[x] = true
	return x
}

// Create makes an empty spool file with one reference.
func (s *Spool) Create(id string) (*File, error) {
	s.makeRoom()
	f, err := os.OpenFile(filepath.Join(s.dir, id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	x := s.newFile(id)
	x.fds.f, x.fds.direct = f, openDirect(f.Name())
	s.countOpen(1)
	return x, nil
}

// Open gives a spool file of an earlier process, with one reference.
func (s *Spool) Open(id string) (*File, error) {
	if _, err := os.Stat(filepath.Join(s.dir, id)); err != nil {
		return nil, err
	}
	x := s.newFile(id)
	x.reserved, x.named, x.doubtful = s.found[id], true, true // what the disk says may change by itself
	return x, nil
}

// use gives the descriptors, for reading and writing, until f.fds.done is called.
func (f *File) use() (file, direct *os.File, err error) {
	f.spool.makeRoom()
	return f.fds.use()
}

// Discard removes the spool file of an earlier process.
func (s *Spool) Discard(id string) error {
	f, err := s.Open(id)
	if err != nil {
		return err
	}
	err = f.Remove()
	f.Unref()
	return err
}

// Reserve books room for n more bytes. It fails with ErrSpoolFull.
func (f *File) Reserve(n int64) error {
	if err := f.spool.reserve(n); err != nil {
		return err
	}
	f.mu.Lock()
	f.reserved += n
	f.mu.Unlock()
	return nil
}

// Unreserve gives back room for n bytes that are not in the file any more.
func (f *File) Unreserve(n int64) {
	f.mu.Lock()
	n = min(n, f.reserved)
	f.reserved -= n
	f.mu.Unlock()
	f.spool.release(n)
}

// ReadAt reads; behind the end of the spool file there are zeros, since it is
// sparse and shorter than the content where the content ends in a hole.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if err := f.settle(off, int64(len(p))); err != nil {
		return 0, err
	}
	file, _, err := f.use()
	if err != nil {
		return 0, err
	}
	defer f.fds.done()
	return readFull(file, p, off)
}

// readFull is ReadAt with zeros behind the end.
func readFull(f *os.File, p []byte, off int64) (int, error) {
	n, err := f.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		clear(p[n:])
		return len(p), nil
	}
	return n, err
}

// Sync makes the bytes and the file's name durable. A failure is kept: no later
// call succeeds, since the kernel reports lost pages once only.
func (f *File) Sync() error {
	if err := f.settle(0, wholeFile); err != nil {
		return err
	}
	f.syncing.Lock() // who comes meanwhile must not find it done
	defer f.syncing.Unlock()
	file, _, err := f.use()
	if err != nil {
		return err
	}
	defer f.fds.done()
	f.mu.Lock()
	named, unsynced := f.named, f.unsynced || f.doubtful
	f.unsynced, f.doubtful = false, false
	f.mu.Unlock()
	name := make(chan error, 1)
	if named {
		name <- nil
	} else { // beside the bytes: a disk does both in little more than the time of one
		go func() { name <- syncDir(f.spool.dir) }()
	}
	if unsynced {
		err = syncData(file)
	}
	err = errors.Join(err, <-name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && f.failed == nil {
		f.failed = err
	}
	f.named = f.named || err == nil
	return f.failed
}

// changed notes that the file was changed. It is called afterwards, since a Sync
// meanwhile need not have seen it.
func (f *File) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsynced = true
}

// Truncate cuts the file; it never extends it.
func (f *File) Truncate(size int64) error {
	if err := f.settle(0, wholeFile); err != nil {
		return err
	}
	file, _, err := f.use()
	if err != nil {
		return err
	}
	defer f.fds.done()
	info, err := file.Stat()
	if err != nil || info.Size() <= size {
		return err
	}
	defer f.changed()
	return file.Truncate(size)
}

// Punch makes [off, off+n) read as zeros.
func (f *File) Punch(off, n int64) error {
	if err := f.settle(0, wholeFile); err != nil {
		return err
	}
	file, _, err := f.use()
	if err != nil {
		return err
	}
	defer f.fds.done()
	info, err := file.Stat()
	if err != nil || off >= info.Size() {
		return err
	}
	defer f.changed()
	n = min(n, info.Size()-off)
	if punch(file, off, n) == nil {
		return nil
	}
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		k, err := file.WriteAt(zeros[:min(n, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off, n = off+int64(k), n-int64(k)
	}
	return nil
}

// Ref adds a user.
func (f *File) Ref() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs == 0 {
		panic("journal: reference to a closed spool file")
	}
	f.refs++
}

// Unref ends a use; the last one closes the file. What was written since the last
// Sync may be lost then.
func (f *File) Unref() {
	f.mu.Lock()
	f.refs--
	last, removed := f.refs == 0, f.removed
	if f.refs < 0 {
		panic("journal: spool file closed twice")
	}
	if last {
		f.drop(&f.behind.run)
		f.dropWaiting() // of a disk that was full
	}
	f.mu.Unlock()
	if !last {
		return
	}
	f.spool.mu.Lock()
	delete(f.spool.files, f)
	f.spool.mu.Unlock()
	f.fds.close()
	if removed {
		f.spool.release(f.reserved)
	}
}

// Remove takes the file's name away. The bytes go with the last reference.
func (f *File) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.removed {
		return nil
	}
	f.removed = true
	if f.refs > 1 { // others go on reading: what has no name cannot be opened again
		if _, _, err := f.fds.use(); err == nil {
			f.fds.done()
		}
	}
	err := os.Remove(f.fds.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
