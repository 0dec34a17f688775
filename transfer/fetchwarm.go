package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/cache"
	"s3mount/cache/disk"
	"s3mount/internal/mem"
)

// ErrNotKept: the cache on disk did not take what was fetched for it.
var ErrNotKept = errors.New("the cache on disk does not take it")

// Warm fetches what the cache on disk lacks of r, past the memory. progress is called
// with the bytes that are there, a few at a time, from several goroutines. It fails with
// ErrDamaged, and keeps nothing, where all of it was fetched and is not what the bucket has.
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
	began, content := time.Now(), &cache.Content{ID: r.id, Size: o.Size}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(fillParallel)
	blocks := content.Blocks()
	for i := int64(0); i < blocks && each.Err() == nil; {
		run, there := tier.Run(disk.ID(r.id), i, min(fillPart/mem.BlockSize, blocks-i))
		from, to := i*mem.BlockSize, min((i+run)*mem.BlockSize, o.Size)
		i += run
		if there {
			tier.Want(disk.ID(r.id), from/mem.BlockSize, run)
			progress(to - from)
			continue
		}
		t := &warmTarget{tier: tier, id: disk.ID(r.id), off: from, end: to, full: func(i int64, p []byte) {
			f.checkBlock(r, content, i, p, false)
			progress(int64(len(p)))
		}}
		g.Go(func() error {
			return f.withBlock(each, func(buf []byte) error {
				t.buf = buf
				return f.pullNow(each, r, t)
			})
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("%q: %w", o.Key, err)
	}
	if r.check.damagedSince(began) {
		return fmt.Errorf("%q: %w", o.Key, ErrDamaged)
	}
	if run, there := tier.Run(disk.ID(r.id), 0, blocks); blocks > 0 && (!there || run < blocks) && ctx.Err() == nil {
		return fmt.Errorf("%q: %w", o.Key, ErrNotKept) // not for long
	}
	return context.Cause(ctx)
}

// warmTarget writes blocks to the cache on disk as they become full. It begins at the
// start of a block.
type warmTarget struct {
	tier     *disk.Tier
	id       disk.ID
	buf      []byte
	off, end int64                   // what is missing
	full     func(i int64, p []byte) // is told of each block that is on disk
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
		t.full(index, block) // on disk first: what is wrong is taken away from there
	}
	return nil
}
