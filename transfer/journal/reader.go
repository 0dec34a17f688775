package journal

import (
	"errors"
	"io"
	"sync"

	"s3mount/internal/mem"
)

// Reader reads a range of a spool file in order, past the page cache where that
// works. It holds one block of memory while bytes are on their way, and never waits
// for one: where there is none, a small buffer and the page cache do.
type Reader struct {
	f         *File
	start, n  int64
	mu        sync.Mutex // a transport may still read when its request has failed already
	pos       int64      // in the range
	block     []byte     // nil: none
	small     *[]byte    // the block is this one of smallBlocks; nil: it is leased
	from, end int64      // offsets in the file of the bytes that the block holds
	closed    bool
}

// smallBlocks holds buffers for when the budget is used up.
var smallBlocks = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// NewReader reads [off, off+n). The file must stay referenced until Close.
func (f *File) NewReader(off, n int64) *Reader {
	return &Reader{f: f, start: off, n: n}
}

// Read reads up to len(p) bytes.
func (r *Reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	chunk, err := r.load()
	if err != nil {
		return 0, err
	}
	k := copy(p, chunk)
	r.advance(k)
	return k, nil
}

// WriteTo writes the rest of the range to w, block by block.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var total int64
	for {
		chunk, err := r.load()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		k, err := w.Write(chunk)
		total += int64(k)
		r.advance(k)
		if err != nil {
			return total, err
		}
	}
}

// Seek moves to another place of the range.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.n
	}
	if offset < 0 {
		return 0, errors.New("journal: seek before the start")
	}
	r.pos = offset
	return offset, nil
}

// Close gives the memory back. Later reads fail.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.free()
	return nil
}

func (r *Reader) free() {
	if r.small != nil {
		smallBlocks.Put(r.small)
	} else {
		r.f.giveBack(r.block)
	}
	r.block, r.small, r.from, r.end = nil, nil, 0, 0
}

func (r *Reader) take() {
	if r.f.spool.budget.Try(mem.Upload, mem.BlockSize) {
		r.block = r.f.spool.arena.Get()
		return
	}
	r.small = smallBlocks.Get().(*[]byte)
	r.block = *r.small
}

// advance moves on; a block that was read to the end of the range is given back.
func (r *Reader) advance(k int) {
	if r.pos += int64(k); r.pos >= r.n {
		r.free()
	}
}

// load returns the bytes at pos that the block holds, after reading them where it
// holds none.
func (r *Reader) load() ([]byte, error) {
	if r.closed {
		return nil, errors.New("journal: the reader is closed")
	}
	if r.pos >= r.n {
		return nil, io.EOF
	}
	at := r.start + r.pos
	if at < r.from || at >= r.end {
		if r.block == nil {
			r.take()
		}
		r.from = at / directAlign * directAlign
		want := min(int64(len(r.block)), roundUp(r.start+r.n-r.from))
		k, err := r.f.readBlock(r.block[:want], r.from, r.small == nil)
		if err != nil {
			r.end = r.from
			return nil, err
		}
		r.end = r.from + int64(k)
	}
	return r.block[at-r.from : min(r.end, r.start+r.n)-r.from], nil
}

func roundUp(n int64) int64 { return (n + directAlign - 1) / directAlign * directAlign }

// ReadBlock fills p, a block of a [mem.Arena] or its beginning, from off, a multiple of the
// block size: past the page cache where that works, with zeros behind the end.
func (f *File) ReadBlock(p []byte, off int64) error {
	_, err := f.readBlock(p[:roundUp(int64(len(p)))], off, true)
	return err
}

// readBlock fills the block from the aligned offset off. What was written through
// the page cache is most likely still there. direct: the block is aligned.
func (f *File) readBlock(block []byte, off int64, direct bool) (int, error) {
	if err := f.settle(off, int64(len(block))); err != nil {
		return 0, err
	}
	file, past, err := f.use()
	if err != nil {
		return 0, err
	}
	defer f.fds.done()
	f.mu.Lock()
	direct = direct && past != nil && f.uncached > f.cached
	f.mu.Unlock()
	if direct {
		if err := readDirect(past, block, off); err == nil {
			return len(block), nil
		}
	}
	return readFull(file, block, off)
}
