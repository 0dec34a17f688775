package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// fold makes one content of several frozen ones: what was closed again before it
// was published is sent once.
func (f *File) fold(list []*content) (*content, error) {
	for len(list) > 1 {
		a, b := list[0], list[1]
		if b.base == a {
			if err := f.merge(a, b); err != nil {
				return nil, err
			}
			list = append([]*content{a}, list[2:]...)
			continue
		}
		f.mu.Lock() // b has nothing of a
		f.abandon(a)
		f.chain = f.chain[1:]
		f.retired = append(f.retired, a)
		b.folded = append(append(b.folded, a.folded...), a.id)
		f.mu.Unlock()
		if err := f.save(b); err != nil {
			return nil, err
		}
		list = list[1:]
	}
	return list[0], nil
}

// merge writes what b changed into a, which takes b's place. It may be repeated
// after a crash: the journal has both until it is done.
//
// It fails with ErrSpoolFull, and changes nothing then, when there is no room for what a
// lacks.
func (f *File) merge(a, b *content) error {
	changed := b.ext.List()
	f.mu.Lock()
	err := f.makeSpool(a)
	var lacks int64
	for _, x := range changed {
		if x.Kind == plan.Data {
			lacks += x.Len
			for _, y := range a.ext.Range(x.Off, x.Len) {
				if y.Kind == plan.Data {
					lacks -= y.Len
				}
			}
		}
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	err = f.eng.reserve(f.eng.ctx, f, a.spool, lacks)
	if errors.Is(err, ErrSpoolFull) && a.merging != "" {
		err, lacks = nil, 0 // an earlier process began it, and only its end frees room
	}
	if err != nil {
		return err
	}
	if err := f.copyChanges(a, b, changed); err != nil {
		a.spool.Unreserve(lacks) // the next try reserves it again
		return err
	}
	f.mu.Lock()
	if a.stream != nil && a.stream.pieces != nil || a.orphan != nil && a.orphan.Pieces != nil {
		f.abandon(a) // its parts were planned for other extents
	}
	a.done, a.merging = nil, ""
	if a.ext.Size() != b.ext.Size() {
		a.kept.forget(f.eng.layoutOf(a), b.ext.Size(), a.ext.Size())
		a.ext.Truncate(min(a.ext.Size(), b.ext.Size()))
	}
	meta, timed := f.meta, f.timed
	for _, x := range changed {
		if x.Kind != plan.Base {
			a.ext.Set(x.Off, x.Len, x.Kind)
			a.sums.forget(x.Off, x.End())
			f.touched(a, x.Off, x.Len)
		}
	}
	f.meta, f.timed = meta, timed // its times are later
	a.changes++
	a.meta, a.gen = b.meta, b.gen
	f.chain = append([]*content{a}, f.chain[2:]...)
	for _, c := range f.chain {
		if c.base == b {
			c.base = a
		}
	}
	if f.publishing == b {
		f.publishing = a
	}
	f.retired = append(f.retired, b)
	a.folded = append(append(a.folded, b.folded...), b.id)
	f.mu.Unlock()
	return f.save(a)
}

// copyChanges makes a's spool file what it is after the merge.
func (f *File) copyChanges(a, b *content, changed []plan.Extent) error {
	err := f.beginMerge(a, b)
	if err == nil {
		err = a.spool.Truncate(b.ext.Size())
	}
	for _, x := range changed {
		switch {
		case err != nil:
			return err
		case x.Kind == plan.Hole:
			err = a.spool.Punch(x.Off, x.Len)
		case x.Kind == plan.Data:
			err = copySpool(b.spool, a.spool, x.Off, x.Len)
		}
	}
	return err
}

// beginMerge takes the checksums out of a's record, since its bytes are about to change,
// and marks it: until the merge is done its spool file holds neither version, so the next
// process has to repeat the merge before it publishes anything. Both have to be in the
// journal for that.
func (f *File) beginMerge(a, b *content) error {
	if err := f.saveMissing(a, b); err != nil {
		return err
	}
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.Lock()
	a.merging = b.id
	if a.rec == nil { // it has left its name
		f.mu.Unlock()
		return nil
	}
	rec := *a.rec
	f.mu.Unlock()
	rec.Sums, rec.Merging, rec.Publication = nil, b.id, a.born
	if err := f.apply([]journal.Record{rec}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a.rec, a.sealed = &rec, 0
	return nil
}

// copySpool copies a range from one spool file to the same place of another one.
func copySpool(from, to *journal.File, off, n int64) error {
	r := from.NewReader(off, n)
	defer r.Close()
	_, err := r.WriteTo(io.NewOffsetWriter(to, off))
	return err
}

// fill brings bytes of the base into the content's spool file.
func (f *File) fill(ctx context.Context, c *content, ranges []plan.Extent) error {
	if len(ranges) == 0 {
		return nil
	}
	f.mu.Lock()
	err := f.makeSpool(c)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	for _, x := range ranges {
		if err := f.eng.reserve(ctx, f, c.spool, x.Len); err != nil {
			return err
		}
		if err := f.fillRange(ctx, c, x); err != nil {
			c.spool.Unreserve(x.Len)
			return err
		}
		f.mu.Lock()
		c.ext.Set(x.Off, x.Len, plan.Data)
		c.kept.forget(f.eng.layoutOf(c), x.Off, x.End())
		f.mu.Unlock()
	}
	return nil
}

func (f *File) fillRange(ctx context.Context, c *content, x plan.Extent) error {
	f.mu.Lock()
	segs := c.resolve(x.Off, x.Len, nil)
	f.mu.Unlock()
	var failed error
	for _, s := range segs {
		switch {
		case failed != nil:
		case s.remote != nil:
			failed = f.eng.fetcher.Fill(ctx, s.remote.remote, s.off, s.n, c.spool)
		case s.spool != nil:
			failed = copySpool(s.spool, c.spool, s.off, s.n)
		}
		if s.spool != nil {
			s.spool.Unref()
		}
	}
	if errors.Is(failed, ErrStale) {
		return fmt.Errorf("%w: %w", ErrConflict, failed)
	}
	return failed
}
