package transfer

import (
	"context"
	"errors"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

// DeleteObject deletes an object unless another client has changed it.
func (e *Engine) DeleteObject(ctx context.Context, o s3.Object) error {
	return e.deleteUnchanged(ctx, journal.Object{Key: o.Key, ETag: o.ETag})
}

// Detach stops publishing a file whose name another file gets. It returns what the
// bucket has under the name, and what else is to be deleted. Drop or Attach must
// follow.
func (f *File) Detach() (object *s3.Object, moved []journal.Object) {
	f.stopPublishing()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.object, append([]journal.Object(nil), f.moved...)
}

// Attach takes Detach back.
func (f *File) Attach() {
	f.mu.Lock()
	again := f.parked
	f.paused, f.parked = false, false
	t := f.ticket
	f.mu.Unlock()
	if t == nil {
		f.enqueue(f.eng.opts.Settle)
	} else if again {
		f.eng.queue.retry(t, 0)
	}
}

// stopPublishing ends the publication on its way, and lets none begin. One that is
// about to become visible is waited for.
func (f *File) stopPublishing() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = true
	for f.publishing != nil {
		if !f.completing && f.cancel != nil {
			f.cancel()
		}
		f.cond.Wait()
	}
}

// Drop takes the file out of its name and forgets its unpublished content.
// Descriptors go on reading it.
func (f *File) Drop() error {
	f.stopPublishing()
	f.saving.Lock()
	f.mu.Lock()
	var ids []string
	for _, c := range f.chain {
		ids = append(ids, c.id)
		f.abandon(c)
	}
	t := f.ticket
	f.key, f.ticket, f.object, f.moved = "", nil, nil, nil
	f.cond.Broadcast()
	f.mu.Unlock()
	var err error
	if len(ids) > 0 {
		err = f.eng.journal.Apply(nil, ids...)
	}
	f.saving.Unlock()
	for _, id := range ids {
		err = errors.Join(err, f.eng.journal.NoteClosed(id))
	}
	f.eng.dirtyRemove(f)
	if t != nil {
		f.eng.queue.done(t)
	}
	f.release()
	return err
}

// Remove unlinks a file. What was never published goes without a request. The
// objects of a file that is still open are deleted with the last close: these are
// returned.
func (e *Engine) Remove(ctx context.Context, f *File) (later []ObjectRef, err error) {
	f.stopPublishing()
	f.mu.Lock()
	victims := append([]journal.Object(nil), f.moved...)
	if f.object != nil {
		victims = append(victims, journal.Object{Key: f.key, ETag: f.object.ETag})
	}
	for _, c := range f.chain {
		if c.tried {
			victims = append(victims, journal.Object{Key: c.at, Publication: c.born})
		}
	}
	open, key := f.handles > 0, f.key
	t := f.ticket
	f.ticket = nil
	f.mu.Unlock()
	if t != nil {
		e.queue.done(t)
	}
	rec := &journal.Record{ID: journal.NewID(), Seq: e.nextSeq(), NoContent: true, Delete: victims}
	switch {
	case len(victims) == 0: // nothing to delete
	case open:
		later = victims
		if err = e.journal.Apply([]journal.Record{*rec}); err == nil {
			f.mu.Lock()
			f.doomed = rec
			f.mu.Unlock()
		}
	default:
		err = e.removeObjects(ctx, rec, key)
	}
	if err != nil {
		f.mu.Lock()
		f.paused, f.parked = false, false
		f.mu.Unlock()
		f.enqueue(e.opts.Settle)
		return nil, err
	}
	return later, f.Drop()
}

func (e *Engine) removeObjects(ctx context.Context, rec *journal.Record, key string) error {
	release, err := e.queue.exclusive(ctx, keysOf(rec, key)...)
	if err != nil {
		return err
	}
	defer release()
	for _, o := range rec.Delete {
		if o.Key == key && o.ETag != "" { // what the user sees under the name goes, whatever version
			err = e.bucket.Delete(ctx, o.Key)
		} else {
			err = e.deleteUnchanged(ctx, o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func keysOf(rec *journal.Record, more ...string) []string {
	keys := more
	for _, o := range rec.Delete {
		keys = append(keys, o.Key)
	}
	return keys
}

// deleteUnchanged deletes an object unless another client has changed it.
func (e *Engine) deleteUnchanged(ctx context.Context, o journal.Object) error {
	now, err := e.bucket.Head(ctx, o.Key)
	if errors.Is(err, s3.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.ETag != "" && now.ETag != o.ETag || o.ETag == "" && now.Props.Meta[metaPublication] != o.Publication {
		return nil
	}
	return e.bucket.Delete(ctx, o.Key)
}

// deleteNow carries out a journaled deletion, or leaves it to deleteLater.
func (e *Engine) deleteNow(ctx context.Context, rec *journal.Record) error {
	for _, o := range rec.Delete {
		if err := e.deleteUnchanged(ctx, o); err != nil {
			e.log.Warn("old object not deleted yet", "key", o.Key, "err", err)
			e.deleteLater(rec)
			return nil
		}
	}
	return e.journal.Apply(nil, rec.ID)
}

// deleteLater queues a journaled deletion.
func (e *Engine) deleteLater(rec *journal.Record) {
	var t *ticket
	ready := make(chan struct{})
	tries := 0
	t = e.queue.add(0, func() {
		<-ready
		for _, o := range rec.Delete {
			if err := e.deleteUnchanged(e.ctx, o); err != nil {
				tries++
				e.queue.retry(t, backoff(tries))
				return
			}
		}
		if err := e.journal.Apply(nil, rec.ID); err != nil {
			e.log.Error("deleted, but the journal cannot note it", "err", err)
		}
		if e.opts.Deleted != nil {
			e.opts.Deleted(rec.Delete)
		}
		e.queue.done(t)
	}, keysOf(rec)...)
	close(ready)
}
