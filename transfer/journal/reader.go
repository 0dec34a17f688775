package journal

import (
	"errors"
	"io"
	"sync"

	"s3mount/internal/mem"
)

// Reader reads a range of a spool file in order, past the page cache where that
// works. It holds up to four blocks of memory while bytes are on their way, which one
// request to the disk fills, and never waits for them: where there is none, a small
// buffer and the page cache do.
type Reader struct {
	f         *File
	start, n  int64
	mu        sync.Mutex // a transport may still read when its request has failed already
	pos       int64      // in the range
	blocks    [][]byte   // adjacent bytes; none: nothing is held
	small     *[]byte    // the only block is this one of smallBlocks; nil: they are leased
	from, end int64      // offsets in the file of the bytes that the blocks hold
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
		for _, block := range r.blocks {
			r.f.giveBack(block)
		}
	}
	r.blocks, r.small, r.from, r.end = nil, nil, 0, 0
}

// take gets memory for up to n bytes.
func (r *Reader) take(n int64) {
	for int64(len(r.blocks)) < min(runBlocks, (n+mem.BlockSize-1)/mem.BlockSize) && r.f.spool.budget.Try(mem.Upload, mem.BlockSize) {
		r.blocks = append(r.blocks, r.f.spool.arena.Get())
	}
	if len(r.blocks) == 0 {
		r.small = smallBlocks.Get().(*[]byte)
		r.blocks = [][]byte{*r.small}
	}
}

// advance moves on; blocks that were read to the end of the range are given back.
func (r *Reader) advance(k int) {
	if r.pos += int64(k); r.pos >= r.n {
		r.free()
	}
}

// load returns the bytes at pos that are held, up to the end of their block, after
// reading them where none are.
func (r *Reader) load() ([]byte, error) {
	if r.closed {
		return nil, errors.New("journal: the reader is closed")
	}
	if r.pos >= r.n {
		return nil, io.EOF
	}
	at := r.start + r.pos
	if at < r.from || at >= r.end {
		r.from = at / directAlign * directAlign
		r.end = r.from
		left := roundUp(r.start + r.n - r.from)
		if r.small == nil {
			r.take(left)
		}
		k, err := r.f.readBlocks(cut(r.blocks, left), r.from, r.small == nil)
		if err != nil {
			return nil, err
		}
		r.end = r.from + k
	}
	size := int64(len(r.blocks[0]))
	i := (at - r.from) / size
	start := r.from + i*size
	return r.blocks[i][at-start : min(r.end, r.start+r.n, start+size)-start], nil
}

// cut is the first n bytes of the blocks.
func cut(blocks [][]byte, n int64) (out [][]byte) {
	for _, block := range blocks {
		k := min(int64(len(block)), n)
		if k > 0 {
			out = append(out, block[:k])
		}
		n -= k
	}
	return out
}

func roundUp(n int64) int64 { return (n + directAlign - 1) / directAlign * directAlign }

// ReadBlock fills p, a block of a [mem.Arena] or its beginning, from off, a multiple of the
// block size: past the page cache where that works, with zeros behind the end.
func (f *File) ReadBlock(p []byte, off int64) error {
	_, err := f.readBlocks([][]byte{p[:roundUp(int64(len(p)))]}, off, true)
	return err
}

// readBlocks fills the blocks from the aligned offset off, and tells how many bytes they
// have now. What was written through the page cache is most likely still there. direct:
// the blocks are aligned.
func (f *File) readBlocks(blocks [][]byte, off int64, direct bool) (n int64, err error) {
	for _, block := range blocks {
		n += int64(len(block))
	}
	if err := f.settle(off, n); err != nil {
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
		if err := readVector(past, blocks, off); err == nil {
			return n, nil
		}
	}
	for _, block := range blocks {
		k, err := readFull(file, block, off)
		if err != nil {
			return 0, err
		}
		off += int64(k)
	}
	return n, nil
}
