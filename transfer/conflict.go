package transfer

import (
	"context"
	"errors"
	"slices"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

// keepBoth is the way out when another client changed the object at key: its
// version is copied to a name of its own, ours is published over it next.
func (f *File) keepBoth(ctx context.Context, c *content, key string) error {
	theirs, err := f.eng.keepTheirs(ctx, key, c.born)
	if err != nil {
		return err
	}
	if theirs != nil && theirs.Props.Meta[metaPublication] == c.born {
		f.mu.Lock()
		c.tried = true // the next try finds it
		f.mu.Unlock()
		return errRenewed
	}
	f.mu.Lock()
	if f.key == key { // else it was renamed meanwhile
		f.object = theirs // nil: deleted by the other client, ours is new
	}
	f.mu.Unlock()
	return errRenewed
}

// keepAtFormerName is keepBoth for an upload under a name that the file has left: it is
// completed there, over the other client's version, and moved.
func (f *File) keepAtFormerName(ctx context.Context, c *content, s *upload) error {
	theirs, err := f.eng.keepTheirs(ctx, s.key, c.born)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.replaces = theirs
	return errRenewed
}

// keepTheirs copies the present object at key to the name of a conflict copy, and
// returns it; nil when there is none. What carries our publication ID is not copied:
// a request of a process that was killed may be carried out late.
func (e *Engine) keepTheirs(ctx context.Context, key, publication string) (*s3.Object, error) {
	theirs, err := e.bucket.Head(ctx, key)
	if errors.Is(err, s3.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if theirs.Props.Meta[metaPublication] == publication || e.leftBehind(&theirs) {
		return &theirs, nil // ours, or of another file here, which has left the name
	}
	for n := range 100 {
		name := conflictName(key, e.opts.Host, time.Now(), n)
		_, err = e.CopyObject(ctx, theirs, name, s3.Cond{IfNoneMatch: true})
		if err == nil {
			e.log.Warn("another client changed the file: both versions are kept", "key", key, "other", name)
			return &theirs, nil
		}
		if !errors.Is(err, s3.ErrPrecondition) {
			return nil, err
		}
	}
	return nil, err
}

// leftBehind tells whether the object is what a file of this mount left under a former
// name, or what is being deleted, or an older version that a request of an earlier process
// has made after its end, so that nobody misses it.
func (e *Engine) leftBehind(o *s3.Object) bool {
	left := func(m journal.Object) bool { return m.Key == o.Key && isVersion(o, m) }
	e.mu.Lock()
	if _, ours := e.late[journal.Object{Key: o.Key, Publication: publicationOf(o)}]; ours {
		e.mu.Unlock()
		return true
	}
	for _, rec := range e.leaving {
		if slices.ContainsFunc(rec.Delete, left) {
			e.mu.Unlock()
			return true
		}
	}
	e.mu.Unlock()
	for _, f := range e.dirtyFiles() {
		f.mu.Lock()
		ours := slices.ContainsFunc(f.moved, left)
		f.mu.Unlock()
		if ours {
			return true
		}
	}
	return false
}
