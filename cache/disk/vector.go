package disk

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// page is what the address and length of a request past the page cache are multiples of.
const page = 4096

// pastCache tells whether requests go past the page cache.
func (t *Tier) pastCache() bool { return t.direct != nil && !t.buffered.Load() }

// readData fills p from off, past the page cache where that is possible: the kernel keeps
// the pages of the file that is read already. It may change what lies behind p, up to its
// capacity.
func (t *Tier) readData(p []byte, off int64) error {
	if pages, ok := wholePages([][]byte{p}); ok && t.pastCache() {
		n, err := unix.Pread(int(t.direct.Fd()), pages[0], off)
		if err == nil && n >= len(p) {
			return nil
		}
		if err == unix.EINVAL {
			t.buffered.Store(true)
		}
	}
	_, err := t.data.ReadAt(p, off)
	return err
}

// writeData writes neighbouring blocks, past the page cache where that is possible.
func (t *Tier) writeData(vector [][]byte, off int64) error {
	if pages, ok := wholePages(vector); ok && t.pastCache() {
		err := writeVector(t.direct, pages, off)
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
		t.buffered.Store(true) // the file system cannot after all
	}
	return writeVector(t.data, vector, off)
}

// wholePages extends the last buffer to a multiple of the page size, by bytes that nobody
// reads back. It refuses buffers that are not aligned, or have no room for that.
func wholePages(vector [][]byte) (pages [][]byte, ok bool) {
	pages = make([][]byte, len(vector))
	for i, p := range vector {
		n := (len(p) + page - 1) / page * page
		if n > cap(p) || n > len(p) && i < len(vector)-1 || uintptr(unsafe.Pointer(unsafe.SliceData(p)))%page != 0 {
			return nil, false
		}
		pages[i] = p[:n]
	}
	return pages, true
}

// writeVector writes all of it. It changes the vector.
func writeVector(f *os.File, vector [][]byte, off int64) error {
	for len(vector) > 0 {
		n, err := unix.Pwritev(int(f.Fd()), vector, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "pwritev", Path: f.Name(), Err: err}
		}
		off += int64(n)
		for n > 0 && n >= len(vector[0]) {
			n -= len(vector[0])
			vector = vector[1:]
		}
		if n > 0 {
			vector[0] = vector[0][n:]
		}
	}
	return nil
}
