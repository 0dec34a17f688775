package transfer

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// Rename gives a file with unpublished content another key. It never waits for the
// network: the object follows with the publication. replaced is the object that
// the bucket has at the new key, and moved what else has to go afterwards.
func (f *File) Rename(key string, replaced *s3.Object, moved []journal.Object) error {
	f.mu.Lock()
	if last := f.head(); last == f.publishing || last == f.clean { // perhaps published a moment ago
		c := derived(last)
		c.changes = 1
		f.chain = append(f.chain, c)
		f.eng.dirtyAdd(f)
		f.freeze()
	}
	old := f.key
	if f.object != nil {
		f.moved = append(f.moved, journal.Object{Key: old, ETag: f.object.ETag})
	}
	if f.object != nil || f.head().base != nil {
		f.freeze() // its place in the queues keeps the old object as it is until it is published
	}
	f.moved = append(f.moved, moved...)
	f.key, f.object = key, replaced
	if f.publishing != nil {
		f.mayBeAt(old, f.publishing.born)
	}
	f.moved = slices.DeleteFunc(f.moved, func(o journal.Object) bool {
		if o.Key == key && o.ETag != "" && replaced == nil {
			f.object = &s3.Object{Key: key, ETag: o.ETag} // back at a former name: its object stays
		}
		return o.Key == key
	})
	if f.ticket != nil {
		keys := []string{key}
		for _, o := range moved {
			keys = append(keys, o.Key)
		}
		f.eng.queue.touch(f.ticket, keys...)
	}
	var list []*content
	journaled := len(f.moved) > 0
	for _, c := range f.chain {
		if c != f.publishing {
			if c.tried {
				f.mayBeAt(c.at, c.born)
			}
			c.changes++
			list = append(list, c)
			journaled = journaled || c.frozen || c.rec != nil
		}
	}
	head := f.head()
	f.mu.Unlock()
	if !journaled {
		return f.eng.journal.NoteOpen(head.id, key)
	}
	for _, c := range list {
		if err := f.save(c); err != nil {
			return err
		}
	}
	f.enqueue(f.eng.opts.Settle)
	return nil
}

// settleLimit is how long a rename waits for a file that left the new name before.
const settleLimit = 30 * time.Second

// Settle waits until no file but those two has anything to do at key. Without it a
// file could be published over an object that another one, which left that name,
// still builds on.
func (e *Engine) Settle(ctx context.Context, key string, files ...*File) error {
	ctx, stop := context.WithTimeoutCause(ctx, settleLimit, errTimeout)
	defer stop()
	var own []*ticket
	for _, f := range files {
		f.mu.Lock()
		own = append(own, f.ticket)
		f.mu.Unlock()
	}
	return e.queue.settle(ctx, key, own...)
}

// FormerObjects is what the bucket still has of the file under former names, and is
// deleted once the file is published.
func (f *File) FormerObjects() []ObjectRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]ObjectRef(nil), f.moved...)
}

// MoveObject renames a published file: the server copies its object, then the old
// one is deleted.
func (e *Engine) MoveObject(ctx context.Context, f *File, key string) error {
	from := f.Key()
	release, err := e.queue.exclusive(ctx, from, key)
	if err != nil {
		return err
	}
	defer release()
	f.mu.Lock()
	o, meta := *f.object, f.meta
	f.mu.Unlock()
	n, err := e.CopyObject(ctx, o, key)
	if err != nil {
		return err
	}
	if o.HasProps {
		n.Props, n.HasProps = Properties(&meta, key, o.Props.Meta[metaPublication]), true
	}
	rec := journal.Record{ID: journal.NewID(), Seq: e.nextSeq(), NoContent: true, Delete: []journal.Object{{Key: from, ETag: o.ETag}}}
	if err := f.Moved(key, &n); err != nil { // what was written meanwhile builds on the new object
		return err
	}
	if err := e.journal.Apply([]journal.Record{rec}); err != nil {
		return err
	}
	return e.deleteNow(ctx, &rec)
}

// relocate notes that the file's object has another key.
func (f *File) relocate(key string, o *s3.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o != nil && f.object != nil {
		for _, c := range append([]*content{f.clean}, f.retired...) {
			if c != nil && c.remote != nil && c.remote.Object().ETag == f.object.ETag {
				c.remote.Relocate(*o)
			}
		}
		f.object = o
	}
	f.key = key
}

// Moved notes that a directory above the file was renamed; o is its object there,
// nil when it had none.
func (f *File) Moved(key string, o *s3.Object) error {
	f.relocate(key, o)
	f.mu.Lock()
	for _, c := range f.chain {
		c.changes++
	}
	head, dirty := f.head(), len(f.chain) > 0
	if f.ticket != nil {
		f.eng.queue.touch(f.ticket, key)
	}
	f.mu.Unlock()
	switch {
	case !dirty:
		return nil
	case head.rec == nil && !head.frozen:
		return f.eng.journal.NoteOpen(head.id, key)
	}
	return f.commit()
}

// CopyObject copies an object on the server, whatever its size. Above 5 GiB it is
// put together from parts.
func (e *Engine) CopyObject(ctx context.Context, o s3.Object, key string) (s3.Object, error) {
	n, err := e.copyObject(ctx, o, key)
	n.Key, n.Size, n.LastModified = key, o.Size, time.Now()
	return n, err
}

func (e *Engine) copyObject(ctx context.Context, o s3.Object, key string) (s3.Object, error) {
	if o.Size <= plan.MaxPart {
		return e.bucket.Copy(ctx, o.Key, o.ETag, key, nil, s3.Cond{})
	}
	full, err := e.bucket.Head(ctx, o.Key)
	if err != nil {
		return s3.Object{}, err
	}
	id, err := e.bucket.CreateUpload(ctx, key, full.Props, s3.WithCopies)
	if err != nil {
		return s3.Object{}, err
	}
	ext := plan.NewExtents(o.Size, plan.Base)
	pieces := plan.Edit(&ext)
	parts := make([]s3.Part, len(pieces))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(e.opts.Parallel)
	for i, p := range pieces {
		g.Go(func() error {
			var err error
			parts[i], err = e.bucket.UploadPartCopy(gctx, key, id, int32(i+1), o.Key, o.ETag, p.Off, p.Len)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		e.abort(key, id)
		return s3.Object{}, err
	}
	return e.bucket.Complete(ctx, key, id, parts, s3.Cond{})
}
