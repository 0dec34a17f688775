package transfer

import (
	"context"
	"errors"
	"slices"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

// DeleteObject deletes an object unless another client has changed it.
func (e *Engine) DeleteObject(ctx context.Context, o s3.Object) error {
	return e.deleteUnchanged(ctx, journal.Object{Key: o.Key, ETag: o.ETag})
}

// noPublication stands for the publication ID of objects that have none.
const noPublication = "-"

// publicationOf is the publication ID of an object that was just asked for; empty: not
// known. An ETag alone does not tell an object from a later one with the same bytes.
func publicationOf(o *s3.Object) string {
	if !o.HasProps {
		return ""
	}
	if id := o.Props.Meta[metaPublication]; id != "" {
		return id
	}
	return noPublication
}

// versionOf names the version that the bucket has under the file's key. What we believe
// that it carries may be out of date, so it does not count.
func versionOf(o *s3.Object, key string) journal.Object {
	return journal.Object{Key: key, ETag: o.ETag}
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
	ids := f.recordIDs()
	for _, c := range f.chain {
		c.rec, c.sealed = nil, 0 // later writes change no record
		f.abandon(c)
	}
	t := f.ticket
	f.key, f.ticket, f.object, f.moved, f.stale = "", nil, nil, nil, nil
	f.meta.CtimeNS = now() // it has one name less
	f.cond.Broadcast()
	f.mu.Unlock()
	var err error
	if len(ids) > 0 {
		err = f.apply(nil, ids...)
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
	if f.cancelled { // what the name shows now is another file
		f.mu.Unlock()
		return nil, ErrStale
	}
	victims := append([]journal.Object(nil), f.moved...)
	if f.object != nil {
		victims = append(victims, versionOf(f.object, f.key))
	}
	for _, c := range f.chain {
		if c.tried {
			victims = append(victims, journal.Object{Key: c.at, Publication: c.born})
		}
		victims = append(victims, c.was...)
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
		if err = e.identify(ctx, victims); err == nil {
			err = e.apply([]journal.Record{*rec})
		}
		if err == nil {
			f.mu.Lock()
			f.doomed = rec
			f.mu.Unlock()
		}
	default:
		err = e.removeNow(ctx, f, rec, key)
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

// removeNow deletes what the bucket has of the file. Where contents wait that may
// build on it, the journal says so first: after a crash in between, none of them must
// look for its base.
func (e *Engine) removeNow(ctx context.Context, f *File, rec *journal.Record, key string) error {
	waiting := f.records()
	if len(waiting) == 0 {
		if err := e.removeObjects(ctx, rec, key); err != nil {
			return err
		}
		if rest, _ := e.mayCome(rec.Delete); len(rest) == 0 {
			return nil
		}
		return e.finish(rec)
	}
	rec.Seq = waiting[0].Seq // its place: what was made under a former name comes behind
	put, remove := []journal.Record{*rec}, []string(nil)
	for _, r := range waiting {
		if r.Upload == nil && r.Creating == "" {
			remove = append(remove, r.ID)
		} else {
			put = append(put, journal.Record{ID: r.ID, Seq: r.Seq, NoContent: true, Upload: r.Upload, Creating: r.Creating})
		}
	}
	if err := e.apply(put, remove...); err != nil {
		return err
	}
	if err := e.removeObjects(ctx, rec, key); err != nil {
		return errors.Join(err, e.apply(f.records(), rec.ID)) // all is as it was
	}
	return e.finish(rec)
}

// records is what the journal has of the file's contents.
func (f *File) records() []journal.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []journal.Record
	for _, c := range f.chain {
		if c.rec != nil {
			out = append(out, *c.rec)
		}
	}
	return out
}

// identify asks for the publication IDs of objects that are deleted much later.
func (e *Engine) identify(ctx context.Context, list []journal.Object) error {
	for i := range list {
		o := &list[i]
		if o.Publication != "" {
			continue
		}
		now, err := e.bucket.Head(ctx, o.Key)
		switch {
		case errors.Is(err, s3.ErrNotFound):
		case err != nil:
			return err
		case now.ETag == o.ETag:
			o.Publication = publicationOf(&now)
		}
	}
	return nil
}

func (e *Engine) removeObjects(ctx context.Context, rec *journal.Record, key string) error {
	release, err := e.queue.exclusive(ctx, keysOf(rec, key)...)
	if err != nil {
		return err
	}
	defer release()
	for _, o := range rec.Delete {
		if o.Key == key && o.ETag != "" { // what the user sees under the name goes, whatever version
			err = e.deleteNoted(ctx, o.Key)
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

// isVersion tells whether an object that was asked for is the version v.
func isVersion(o *s3.Object, v journal.Object) bool {
	return (v.ETag == "" || o.ETag == v.ETag) && (v.Publication == "" || publicationOf(o) == v.Publication)
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
	if !isVersion(&now, o) {
		return nil
	}
	err = e.deleteNoted(ctx, o.Key)
	if err == nil && o.Publication != "" {
		e.cameFrom(o.Key, o.Publication)
	}
	return err
}

// source is the version that a copy was made of, under its ETag.
type source struct {
	key, etag string
	asked     time.Time // before the copy
}

// sourceAge is how long a copy stands for the HEAD before the deletion of its source.
const sourceAge = time.Second

// isFresh tells whether o was the present version of its key a moment ago.
func (e *Engine) isFresh(ctx context.Context, o journal.Object, s source) bool {
	if o.Key != s.key || o.ETag == "" || o.ETag != s.etag || time.Since(s.asked) > sourceAge {
		return false
	}
	holds, err := e.conditions(ctx)
	return err == nil && holds.Writes // who ignores those may ignore a copy's
}

// deleteNow carries out a journaled deletion, or leaves it to deleteLater. copied is
// what one of the objects was copied from just now, and t the operation that it
// belongs to; nil: none that others wait for.
func (e *Engine) deleteNow(ctx context.Context, rec *journal.Record, copied source, t *ticket) (done bool, err error) {
	for _, o := range rec.Delete {
		var err error
		if e.isFresh(ctx, o, copied) {
			err = e.deleteNoted(ctx, o.Key)
		} else {
			err = e.deleteUnchanged(ctx, o)
		}
		if err != nil {
			e.log.Warn("old object not deleted yet", "key", o.Key, "err", err)
			e.deleteLater(rec, t)
			return false, nil
		}
	}
	if e.opts.Deleted != nil {
		e.opts.Deleted(rec.Delete)
	}
	return true, e.finish(rec)
}

// deleteLater queues a journaled deletion, or the abort of a cancelled upload: behind
// the operation before that it belongs to, so that it comes ahead of what is published
// next under these keys, which may have the same bytes; nil: at the end.
func (e *Engine) deleteLater(rec *journal.Record, before *ticket) {
	var t *ticket
	ready := make(chan struct{})
	own, tries := *rec, 0
	rec, gone := &own, rec.Delete
	e.mu.Lock()
	e.leaving[rec.ID] = rec
	e.mu.Unlock()
	t = e.queue.follow(before, func() {
		<-ready
		if u := rec.Upload; u != nil {
			if err := e.bucket.Abort(e.ctx, u.Key, u.ID); retryable(err) || e.ctx.Err() != nil {
				tries++
				e.queue.retry(t, backoff(tries))
				return
			} else if err != nil {
				e.leaveUpload(u.Key, u.ID, err)
			}
		}
		for _, o := range rec.Delete {
			if err := e.deleteUnchanged(e.ctx, o); err != nil {
				tries++
				e.deleteAgain(rec, t, tries, err)
				return
			}
		}
		e.mu.Lock()
		delete(e.leaving, rec.ID)
		e.mu.Unlock()
		if err := e.finish(rec); err != nil {
			e.log.Error("deleted, but the journal cannot note it", "err", err)
		}
		if e.opts.Deleted != nil && len(gone) > 0 {
			e.opts.Deleted(gone)
		}
		e.queue.done(t)
	}, keysOf(rec)...)
	close(ready)
}

// deleteAgain lets a deletion that failed run once more. What patience does not mend lets
// all others pass that wait for its keys, once the objects are known by their publication:
// the others may put the same bytes there.
func (e *Engine) deleteAgain(rec *journal.Record, t *ticket, tries int, failed error) {
	delay := backoff(tries)
	if retryable(failed) || e.ctx.Err() != nil {
		e.queue.retry(t, delay)
		return
	}
	if tries == 1 {
		e.log.Warn("old objects cannot be deleted; it is tried again", "objects", len(rec.Delete), "err", failed)
	}
	known := slices.Clone(rec.Delete)
	err := e.identify(e.ctx, known)
	if err == nil && !slices.Equal(known, rec.Delete) {
		e.mu.Lock()
		rec.Delete = known
		e.mu.Unlock()
		err = e.apply([]journal.Record{*rec})
	}
	if err != nil {
		e.queue.retry(t, delay)
		return
	}
	e.queue.last(t, delay)
}
