package fs

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"s3mount/transfer"
)

// handle is an open file.
type handle struct {
	node   *node
	file   *transfer.File
	write  bool // may write, counts as a writer
	direct bool // goes past the page cache
	paged  bool // goes through the page cache, or can be mapped
	opened time.Time
}

var (
	_ gofuse.FileReader    = (*handle)(nil)
	_ gofuse.FileWriter    = (*handle)(nil)
	_ gofuse.FileFlusher   = (*handle)(nil)
	_ gofuse.FileFsyncer   = (*handle)(nil)
	_ gofuse.FileReleaser  = (*handle)(nil)
	_ gofuse.FileLseeker   = (*handle)(nil)
	_ gofuse.FileAllocater = (*handle)(nil)
)

// Read returns up to len(dest) bytes. dest stays unused: the reply is written
// from the blocks of the cache.
func (h *handle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	chunks, err := h.file.Read(c, off, len(dest))
	if err != nil {
		return nil, h.node.fail(c, "read", err, "off", off, "len", len(dest))
	}
	if h.file.Damaged(h.opened) {
		chunks.Release()
		return nil, h.node.fail(c, "read", transfer.ErrDamaged, "off", off)
	}
	return newReadResult(chunks), 0
}

// Write copies data into the file. What was written before an error counts.
func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	n, err := h.file.WriteAt(c, data, off)
	if n > 0 {
		if h.node.pages.wrote(c, h, off, int64(n)); h.direct { // else the kernel did it
			h.node.dropSetID(c, h.file)
		}
		return uint32(n), 0
	}
	if err != nil {
		return 0, h.node.fail(c, "write", err, "off", off, "len", len(data))
	}
	return 0, 0
}

// Flush makes durable what was written; it is each close(2), so it comes once
// for every duplicate of the descriptor. A signal does not end it: close
// would report a failure of a file that is complete.
func (h *handle) Flush(ctx context.Context) syscall.Errno {
	if !h.write {
		return 0
	}
	c := begin(context.WithoutCancel(ctx))
	defer c.end()
	if err := h.file.Flush(c); err != nil {
		return h.node.fail(c, "flush", err)
	}
	return 0
}

// Fsync returns when the present content is in the bucket, through any
// descriptor, so that sync FILE waits for it.
func (h *handle) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	c := begin(ctx)
	defer c.end()
	if err := h.file.Sync(c); err != nil {
		return h.node.fail(c, "fsync", err)
	}
	return 0
}

// Release ends the handle. Nobody hears of errors here: Flush has told.
func (h *handle) Release(context.Context) syscall.Errno {
	h.node.pages.close(h)
	h.node.fs.untrack(h)
	h.file.CloseHandle(h.write)
	return 0
}

// Whence of lseek(2), where syscall does not name it.
const (
	seekData = 3
	seekHole = 4
)

// Lseek finds data and holes.
func (h *handle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	if whence != seekData && whence != seekHole {
		return 0, syscall.EINVAL
	}
	c := begin(ctx)
	defer c.end()
	pos, err := h.file.SeekData(c, int64(off), whence == seekHole)
	if errors.Is(err, io.EOF) {
		return 0, syscall.ENXIO
	}
	if err != nil {
		return 0, h.node.fail(c, "lseek", err, "off", off)
	}
	return uint64(pos), 0
}

// Modes of fallocate(2).
const (
	allocKeepSize  = 1
	allocPunchHole = 2
)

// Allocate reserves or frees a range.
func (h *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	c := begin(ctx)
	defer c.end()
	var err error
	switch mode {
	case 0:
		err = h.file.Allocate(c, int64(off), int64(size), false)
	case allocKeepSize:
		err = h.file.Allocate(c, int64(off), int64(size), true)
	case allocKeepSize | allocPunchHole:
		err = h.file.PunchHole(c, int64(off), int64(size))
	default:
		return syscall.EOPNOTSUPP
	}
	if err != nil {
		return h.node.fail(c, "fallocate", err, "off", off, "len", size)
	}
	return 0
}

// readResult lends the blocks of a read to the reply. go-fuse finds Slices by
// its name and writes them in one call.
type readResult struct{ chunks *transfer.Chunks }

// newReadResult takes over the chunks. A reply without bytes is never Done,
// so it must not own any.
func newReadResult(c *transfer.Chunks) fuse.ReadResult {
	if c.Len() == 0 {
		c.Release()
		return fuse.ReadResultData(nil)
	}
	return &readResult{chunks: c}
}

// Slices returns the bytes for writev(2).
func (r *readResult) Slices() ([][]byte, fuse.Status) { return r.chunks.Slices(), fuse.OK }

// Bytes copies them, for transports that need one buffer.
func (r *readResult) Bytes(buf []byte) ([]byte, fuse.Status) {
	return buf[:r.chunks.CopyTo(buf)], fuse.OK
}

// Size is the number of bytes.
func (r *readResult) Size() int { return r.chunks.Len() }

// Done gives the blocks back after the reply was written.
func (r *readResult) Done() { r.chunks.Release() }
