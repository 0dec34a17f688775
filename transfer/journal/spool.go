package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// ErrSpoolFull: the spool's limit leaves no room for the bytes.
var ErrSpoolFull = errors.New("the spool is full")

// Spool is the directory of spool files, and the count of the bytes they may take.
type Spool struct {
	dir   string
	limit int64

	mu   sync.Mutex
	used int64
}

func openSpool(dir string, limit int64) (*Spool, error) {
	s := &Spool{dir: dir, limit: limit}
	names, err := s.IDs()
	if err != nil {
		return nil, err
	}
	for _, id := range names {
		n, err := allocated(filepath.Join(dir, id))
		if err != nil {
			return nil, err
		}
		s.used += n
	}
	return s, nil
}

// IDs is the contents that have a spool file.
func (s *Spool) IDs() ([]string, error) {
	list, err := os.ReadDir(s.dir)
	var ids []string
	for _, e := range list {
		ids = append(ids, e.Name())
	}
	return ids, err
}

// Used is the bytes that spool files take.
func (s *Spool) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Limit is the most they may take.
func (s *Spool) Limit() int64 { return s.limit }

// reserve books n bytes before they are written.
func (s *Spool) reserve(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.limit {
		return ErrSpoolFull
	}
	s.used += n
	return nil
}

func (s *Spool) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used -= n; s.used < 0 {
		panic(fmt.Sprintf("journal: %d spool bytes released too often", -s.used))
	}
}

// File is one spool file. It is reference counted: its bytes stay readable until
// the last user is done, also after Remove.
type File struct {
	spool *Spool
	id    string
	f     *os.File

	mu       sync.Mutex
	reserved int64
	unsent   int64 // bytes written since writeback was started last
	refs     int
	removed  bool
	synced   bool // the directory entry is on disk
	failed   error
}

// Create makes an empty spool file with one reference.
func (s *Spool) Create(id string) (*File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &File{spool: s, id: id, f: f, refs: 1}, nil
}

// Open opens a spool file of an earlier process, with one reference.
func (s *Spool) Open(id string) (*File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, id), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	n, err := allocated(f.Name())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File{spool: s, id: id, f: f, refs: 1, reserved: n, synced: true}, nil
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

// writebackRun is how many bytes are written before their way to the disk begins.
const writebackRun = 16 << 20

// WriteAt writes bytes for which room was reserved.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.f.WriteAt(p, off)
	end := off + int64(n)
	f.mu.Lock()
	f.unsent += int64(n)
	run := f.unsent
	if run >= writebackRun {
		f.unsent = 0
	}
	f.mu.Unlock()
	if run >= writebackRun {
		startWriteback(f.f, max(end-run, 0), run)
	}
	return n, err
}

// ReadAt reads; behind the end of the spool file there are zeros, since it is
// sparse and shorter than the content where the content ends in a hole.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		clear(p[n:])
		return len(p), nil
	}
	return n, err
}

// Sync makes the bytes and the file's name durable. A failure is kept: no later
// call succeeds, since the kernel reports lost pages once only.
func (f *File) Sync() error {
	f.mu.Lock()
	failed, synced := f.failed, f.synced
	f.mu.Unlock()
	if failed != nil {
		return failed
	}
	err := f.f.Sync()
	if err == nil && !synced {
		err = syncDir(f.spool.dir)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed, f.synced = err, err == nil
	return err
}

// Truncate cuts the file; it never extends it.
func (f *File) Truncate(size int64) error {
	info, err := f.f.Stat()
	if err != nil || info.Size() <= size {
		return err
	}
	return f.f.Truncate(size)
}

// Punch makes [off, off+n) read as zeros.
func (f *File) Punch(off, n int64) error {
	info, err := f.f.Stat()
	if err != nil || off >= info.Size() {
		return err
	}
	n = min(n, info.Size()-off)
	if punch(f.f, off, n) == nil {
		return nil
	}
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		k, err := f.f.WriteAt(zeros[:min(n, int64(len(zeros)))], off)
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

// Unref ends a use; the last one closes the file.
func (f *File) Unref() {
	f.mu.Lock()
	f.refs--
	last, removed := f.refs == 0, f.removed
	if f.refs < 0 {
		panic("journal: spool file closed twice")
	}
	f.mu.Unlock()
	if !last {
		return
	}
	f.f.Close() // everything that had to be durable was synced before
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
	err := os.Remove(f.f.Name())
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
