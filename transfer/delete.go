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
	_, err := e.deleteUnchanged(ctx, journal.Object{Key: o.Key, ETag: o.ETag})
	return err
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

// MayBe tells whether o, of which a listing told, may be the version v, which is to be deleted:
// nothing that is known of it says otherwise.
func MayBe(o *s3.Object, v ObjectRef) bool {
	id := publicationOf(o)
	return v.ETag == o.ETag || v.ETag == "" && (v.Publication == "" || id == "" || id == v.Publication)
}

// isVersion tells whether an object that was asked for is the version v.
func isVersion(o *s3.Object, v journal.Object) bool {
	return (v.ETag == "" || o.ETag == v.ETag) && (v.Publication == "" || publicationOf(o) == v.Publication)
}

// deleteUnchanged deletes an object unless another client has changed it. It tells whether
// another one is at its key.
func (e *Engine) deleteUnchanged(ctx context.Context, o journal.Object) (other bool, err error) {
	now, err := e.bucket.Head(ctx, o.Key)
	if errors.Is(err, s3.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !isVersion(&now, o) {
		return true, nil
	}
	err = e.deleteNoted(ctx, o.Key)
	if err == nil && o.Publication != "" {
		e.cameFrom(o.Key, o.Publication)
	}
	return false, err
}

// deleted tells who observes what has gone, and what stays since it is another object.
func (e *Engine) deleted(list []journal.Object, stays []bool) {
	if e.opts.Deleted == nil || len(list) == 0 {
		return
	}
	var gone, other []journal.Object
	for i, o := range list {
		if stays[i] {
			other = append(other, o)
		} else {
			gone = append(gone, o)
		}
	}
	e.opts.Deleted(gone, other)
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
func (e *Engine) deleteNow(ctx context.Context, rec *journal.Record, copied source, t *ticket) (done bool) {
	stays := make([]bool, len(rec.Delete))
	for i, o := range rec.Delete {
		var err error
		if e.isFresh(ctx, o, copied) {
			err = e.deleteNoted(ctx, o.Key)
		} else {
			stays[i], err = e.deleteUnchanged(ctx, o)
		}
		if err != nil {
			e.log.Warn("old object not deleted yet", "key", o.Key, "err", err)
			e.deleteLater(rec, t)
			return false
		}
	}
	e.deleted(rec.Delete, stays)
	e.finish(rec)
	return true
}

// deleteLater queues a journaled deletion, or the abort of a cancelled upload: behind
// the operation before that it belongs to, so that it comes ahead of what is published
// next under these keys, which may have the same bytes; nil: at the end.
func (e *Engine) deleteLater(rec *journal.Record, before *ticket) { e.deleteAfter(rec, before, nil) }

// notedPause is the time between two looks whether a deletion may begin.
const notedPause = time.Second

// deleteAfter is deleteLater that begins when noted is closed, and has its place from now on.
func (e *Engine) deleteAfter(rec *journal.Record, before *ticket, noted <-chan struct{}) {
	own, tries := *rec, 0
	rec, gone := &own, rec.Delete
	e.mu.Lock()
	e.leaving[rec.ID] = rec
	e.mu.Unlock()
	e.queue.follow(before, func(t *ticket) {
		if noted != nil {
			select {
			case <-noted:
			default:
				e.queue.retry(t, notedPause)
				return
			}
		}
		if u := rec.Upload; u != nil {
			if err := e.bucket.Abort(e.ctx, u.Key, u.ID); retryable(err) || e.ctx.Err() != nil {
				tries++
				e.queue.retry(t, backoff(tries))
				return
			} else if err != nil {
				e.leaveUpload(u.Key, u.ID, err)
			}
		}
		stays := make([]bool, len(rec.Delete))
		for i, o := range rec.Delete {
			var err error
			if stays[i], err = e.deleteUnchanged(e.ctx, o); err != nil {
				tries++
				e.deleteAgain(rec, t, tries, err)
				return
			}
		}
		e.mu.Lock()
		delete(e.leaving, rec.ID)
		e.mu.Unlock()
		e.finish(rec)
		e.deleted(gone, stays)
		e.queue.done(t)
	}, keysOf(rec)...)
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
