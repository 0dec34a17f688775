package transfer

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// rescueStep is how many bytes of a lost base are taken over at once.
const rescueStep = 1 << 20

// rescueMisses is how many ranges are looked for in vain.
const rescueMisses = 8

// rescue is the way out when the version that was edited is gone from the bucket:
// its bytes that are held here go into the spool. If these are all that the content
// needs, it is published as bytes of our own, and what another client has put there
// is kept as a conflict copy. Else the content stays unpublished with ErrConflict,
// and with the bytes that could be had.
func (f *File) rescue(ctx context.Context, c *content, failed error) error {
	if late, err := f.cameLate(ctx, c); late || err != nil {
		return cmp.Or(err, errRenewed)
	}
	f.mu.Lock()
	need := c.ext.Bytes(plan.Base)
	list := c.ext.List()
	f.mu.Unlock()
	if need == 0 || c.base == nil {
		return fmt.Errorf("%w: %w", ErrConflict, failed)
	}
	held, misses := int64(0), 0
	for _, x := range list {
		if misses == rescueMisses {
			break
		}
		for off := x.Off; x.Kind == plan.Base && off < x.End(); {
			n := min(rescueStep-off%rescueStep, x.End()-off)
			ok, err := f.rescueRange(ctx, c, off, n)
			if err != nil {
				return err
			}
			if ok {
				held += n
			}
			off += n
			if !ok {
				misses++
				break
			}
		}
	}
	if held > 0 {
		f.mu.Lock()
		c.changes++
		if held == need {
			c.base = nil
		}
		f.mu.Unlock()
		if err := f.save(c); err != nil {
			return err
		}
	}
	if held < need {
		return fmt.Errorf("%w; it is kept here, but %d bytes of that version are not: %w", ErrConflict, need-held, failed)
	}
	return errRenewed
}

// cameLate tells whether it was a request of this content that changed its base: one of a
// process that was killed may be carried out when the next one has asked already. The next
// try finds it, or goes on from the version that was folded into the content.
func (f *File) cameLate(ctx context.Context, c *content) (bool, error) {
	f.mu.Lock()
	key := f.key
	f.mu.Unlock()
	base := c.baseObject()
	for _, k := range append(f.triedAt(c, key), key) {
		o, ok, err := f.isPublished(ctx, c, k)
		if err != nil {
			return false, err
		}
		f.mu.Lock()
		if ok {
			c.tried, c.at = true, k
			f.mu.Unlock()
			return true, nil
		}
		if base == nil || k != base.Key || o.ETag == "" || !slices.Contains(c.was, journal.Object{Key: k, Publication: publicationOf(&o)}) {
			f.mu.Unlock()
			continue
		}
		c.base = publishedContent(o) // what c has of the base is in it, too
		c.changes++
		if k == f.key {
			f.object = &o
		}
		f.mu.Unlock()
		return true, f.save(c)
	}
	return false, nil
}

// rescueRange copies a range of the base into the spool; false when it is not held
// here.
func (f *File) rescueRange(ctx context.Context, c *content, off, n int64) (bool, error) {
	f.mu.Lock()
	err := f.makeSpool(c)
	f.mu.Unlock()
	if err != nil {
		return false, err
	}
	buf, put := pooled(int(n))
	defer put()
	f.mu.Lock()
	segs := c.resolve(off, n, nil)
	readers := make([]*Reader, len(segs))
	for i, s := range segs {
		if s.remote != nil {
			readers[i] = f.readerOf(s.remote)
		}
	}
	f.mu.Unlock()
	var failed error
	for i, s := range segs {
		if failed == nil {
			failed = s.read(ctx, readers[i], buf[s.off-off:][:s.n])
		}
		if s.spool != nil {
			s.spool.Unref()
		}
	}
	if failed != nil {
		return false, context.Cause(ctx)
	}
	if err := f.eng.reserve(ctx, f, c.spool, n); err != nil {
		return false, err
	}
	if _, err := c.spool.WriteAt(buf, off); err != nil {
		return false, err
	}
	f.mu.Lock()
	c.ext.Set(off, n, plan.Data)
	c.kept.forget(f.eng.layoutOf(c), off, off+n)
	f.mu.Unlock()
	return true, nil
}
