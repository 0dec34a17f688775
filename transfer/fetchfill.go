package transfer

import (
	"context"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
	"s3mount/internal/s3"
)

const (
	fillPart     = 8 << 20 // bytes of one request of Fill
	fillParallel = 4
)

// Fill copies n bytes of r at off to the same offsets of w, from disk what is there, the rest
// past the cache in parallel requests. w is written by several goroutines, each byte once.
// When it fails, what was written is undefined.
func (f *Fetcher) Fill(ctx context.Context, r *Remote, off, n int64, w io.WriterAt) error {
	if !f.begin() {
		return errFetcherClosed
	}
	defer f.wg.Done()
	if r.archivedNow() {
		return archivedError(r.Object())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(f.ctx, func() { cancel(errFetcherClosed) })()

	g, each := errgroup.WithContext(ctx)
	g.SetLimit(fillParallel)
	for end := off + n; off < end && each.Err() == nil; {
		first := off / mem.BlockSize
		run, held := f.opts.Disk.Run(disk.ID(r.id), first, (end-1)/mem.BlockSize+1-first)
		t := &fillTarget{w: w, off: off, end: min(off+fillPart, (first+run)*mem.BlockSize, end)}
		off = t.end
		g.Go(func() error {
			return f.withBlock(each, func(buf []byte) error {
				if t.buf = buf; held {
					f.fillHeld(r, t)
				}
				return f.pullNow(each, r, t)
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// fillHeld copies what is on disk, up to the first block that cannot be read.
func (f *Fetcher) fillHeld(r *Remote, t *fillTarget) {
	size := r.Object().Size
	for t.off < t.end {
		start := t.off / mem.BlockSize * mem.BlockSize
		p := t.buf[:min(mem.BlockSize, size-start)]
		if !f.heldBlock(r, p, start) {
			return
		}
		p = p[t.off-start : min(int64(len(p)), t.end-start)]
		if _, err := t.w.WriteAt(p, t.off); err != nil {
			return // the same comes again
		}
		t.off += int64(len(p))
	}
}

// withBlock leases one block of memory for a function.
func (f *Fetcher) withBlock(ctx context.Context, use func(buf []byte) error) error {
	if err := f.opts.Budget.Lease(ctx, mem.Border, mem.BlockSize); err != nil {
		return err
	}
	defer f.opts.Budget.Release(mem.Border, mem.BlockSize)
	buf := f.opts.Arena.Get()
	defer f.opts.Arena.Put(buf)
	return use(buf)
}

// pullNow fetches what t lacks, for somebody who waits.
func (f *Fetcher) pullNow(ctx context.Context, r *Remote, t fetchTarget) error {
	began := time.Now()
	return f.pull(ctx, r, t, func() time.Time { return began })
}

// fillTarget passes bytes on to a file through one small buffer.
type fillTarget struct {
	w        io.WriterAt
	buf      []byte
	off, end int64
}

func (t *fillTarget) Range() (off, n int64) { return t.off, t.end - t.off }

func (t *fillTarget) Buffer() []byte {
	return t.buf[:min(int64(len(t.buf)), t.end-t.off)]
}

func (t *fillTarget) Advance(n int) error {
	_, err := t.w.WriteAt(t.buf[:n], t.off)
	t.off += int64(n)
	return err
}

func archivedError(o s3.Object) error {
	return &s3.Error{Op: "GetObject", Key: o.Key, Kind: s3.ErrArchived}
}
