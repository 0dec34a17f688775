package transfer

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
)

// ErrNotKept: the cache on disk did not take what was fetched for it.
var ErrNotKept = errors.New("the cache on disk does not take it")

// Warm fetches what the cache on disk lacks of r, past the memory. progress is called
// with the bytes that are there, a few at a time, from several goroutines.
func (f *Fetcher) Warm(ctx context.Context, r *Remote, progress func(n int64)) error {
	if !f.begin() {
		return errFetcherClosed
	}
	defer f.wg.Done()
	o := r.Object()
	if r.archivedNow() {
		return archivedError(o)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(f.ctx, func() { cancel(errFetcherClosed) })()

	tier := f.opts.Disk
	tier.Await(ctx)
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(fillParallel)
	blocks := (o.Size + mem.BlockSize - 1) / mem.BlockSize
	for i := int64(0); i < blocks && each.Err() == nil; {
		run, there := tier.Run(disk.ID(r.id), i, min(fillPart/mem.BlockSize, blocks-i))
		from, to := i*mem.BlockSize, min((i+run)*mem.BlockSize, o.Size)
		i += run
		if there {
			tier.Want(disk.ID(r.id), from/mem.BlockSize, run)
			progress(to - from)
			continue
		}
		t := &warmTarget{tier: tier, id: disk.ID(r.id), off: from, end: to, progress: progress}
		g.Go(func() error { return f.pullThrough(each, r, t, &t.buf) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("%q: %w", o.Key, err)
	}
	return context.Cause(ctx)
}

// warmTarget writes blocks to the cache on disk as they become full. It begins at the
// start of a block.
type warmTarget struct {
	tier     *disk.Tier
	id       disk.ID
	buf      []byte
	off, end int64 // what is missing
	progress func(n int64)
}

func (t *warmTarget) Range() (off, n int64) { return t.off, t.end - t.off }

func (t *warmTarget) Buffer() []byte {
	in := t.off % mem.BlockSize
	return t.buf[in:min(mem.BlockSize, in+t.end-t.off)]
}

func (t *warmTarget) Advance(n int) error {
	index := t.off / mem.BlockSize
	t.off += int64(n)
	if t.off%mem.BlockSize == 0 || t.off == t.end {
		block := t.buf[:t.off-index*mem.BlockSize]
		if !t.tier.Write(t.id, index, block) {
			return ErrNotKept
		}
		t.progress(int64(len(block)))
	}
	return nil
}
