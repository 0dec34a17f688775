package transfer

import (
	"context"
	"errors"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// A range of a published file that is copied to the same place of an empty one needs no
// bytes here: it becomes Base extents of a content whose base is the source's object,
// and the server copies them at the publication. The file gets its place in the queue
// of the source's key with the first range, so that what happens to the source on this
// mount later happens after the copy.

// copyWait is how long a copy of which ranges are missing waits for them. A close, a
// sync, or whoever waits at the source's key ends that.
const copyWait = 24 * time.Hour

// CopyRange makes [off, off+n) of the file the bytes that src has there, and moves
// none. It returns how many they are: up to the end of src, and 0 when they have to be
// read and written, because src is not as the bucket has it, or because the file has
// other bytes already.
//
// A copy that is complete is in the journal then, and is published as after a close.
func (f *File) CopyRange(ctx context.Context, src *File, off, n int64) (int64, error) {
	o := src.Object()
	if f == src || o == nil || off >= o.Size {
		return 0, nil
	}
	if !f.builds(o) { // what is gone is noticed now, and the version's ID helps later
		now, err := f.eng.bucket.Head(ctx, o.Key)
		if err != nil || now.ETag != o.ETag || now.Size != o.Size || now.Archived {
			return 0, nil // who reads it hears why
		}
		o = &now
	}
	n = min(n, o.Size-off)
	complete, err := f.refer(src, o, off, n)
	switch {
	case errors.Is(err, errMoveBytes):
		return 0, nil
	case err != nil || !complete:
		return n, err
	}
	err = f.commit()
	f.enqueue(f.eng.opts.Settle)
	return n, err
}

// errMoveBytes: the range cannot be copied by reference.
var errMoveBytes = errors.New("the bytes have to be moved")

// refer makes the range one of the object o, which src is, and tells whether the file
// has all of it.
func (f *File) refer(src *File, o *s3.Object, off, n int64) (complete bool, err error) {
	f.eng.pairing.Lock()
	defer f.eng.pairing.Unlock()
	src.mu.Lock()
	defer src.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !src.unchanged(o) || !f.takes(o) {
		return false, errMoveBytes
	}
	c := f.head()
	if c.frozen {
		if c, err = f.push(&content{id: journal.NewID(), born: journal.NewID()}); err != nil {
			return false, err
		}
	}
	t, ok := f.eng.queue.share(f.ticket, o.Key, copyWait, f.publish, f.keys()...)
	if !ok {
		return false, errMoveBytes
	}
	if c.base == nil {
		c.base, c.early, c.seq = publishedContent(*o), true, f.eng.nextSeq()
	}
	c.ext.Set(off, n, plan.Base)
	c.changes++
	f.stamp()
	complete = c.only(plan.Base) && c.ext.Size() == o.Size
	f.ticket, f.lingers = t, true
	if complete {
		f.freeze()
	}
	return complete, nil
}

// unchanged tells whether the file is the object o and nothing else is to become of it.
// The caller holds f.mu.
func (f *File) unchanged(o *s3.Object) bool {
	return f.key == o.Key && len(f.chain) == 0 && !f.paused && f.object != nil && f.object.ETag == o.ETag
}

// takes tells whether the newest content has no bytes but those of o. The caller holds
// f.mu.
func (f *File) takes(o *s3.Object) bool {
	c := f.head()
	switch {
	case f.key == "" || f.paused || f.cancelled:
		return false
	case c.frozen:
		return c.ext.Size() == 0
	case c.inflight > 0 || c.spooling || c.spool != nil || c.stream != nil:
		return false
	case c.base == nil:
		return c.only(plan.Hole) && c.ext.Size() <= o.Size
	}
	return c.builds(o)
}

// builds tells whether the newest content takes bytes from o already.
func (f *File) builds(o *s3.Object) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head().builds(o)
}

func (c *content) builds(o *s3.Object) bool {
	base := c.baseObject()
	return !c.frozen && c.early && base != nil && base.Key == o.Key && base.ETag == o.ETag
}

// ForbidCopies lets no copy of what is at key, or below it as a directory, begin until
// allow is called: the objects there are about to go.
func (e *Engine) ForbidCopies(key string) (allow func()) { return e.queue.forbid(key) }
