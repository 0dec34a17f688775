package transfer

import (
	"context"
	"errors"

	"s3mount/transfer/journal"
)

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
	f.mu.Unlock()
	rec := &journal.Record{ID: journal.NewID(), Seq: e.nextSeq(), NoContent: true, Delete: victims}
	switch {
	case len(victims) == 0: // nothing to delete
		err = f.drop(nil)
	case open:
		later = victims
		if err = e.identify(ctx, victims); err == nil {
			err = f.drop(rec)
		}
	default:
		if err = e.removeNow(ctx, f, rec, key); err == nil {
			f.Drop()
		}
	}
	if err != nil {
		f.Attach()
		return nil, err
	}
	return later, nil
}

// removeNow deletes what the bucket has of the file. Where contents wait that may
// build on it, the journal says so first: after a crash in between, none of them must
// look for its base.
func (e *Engine) removeNow(ctx context.Context, f *File, rec *journal.Record, key string) error {
	waiting := f.records()
	if len(waiting) == 0 {
		if err := e.removeObjects(ctx, f, rec, key); err != nil {
			return err
		}
		if rest, _ := e.mayCome(rec.Delete); len(rest) > 0 {
			e.finish(rec)
		}
		return nil
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
	if err := e.removeObjects(ctx, f, rec, key); err != nil {
		if back := e.apply(f.records(), rec.ID); back != nil { // else all is as it was
			e.removeLater(rec.ID)
			f.unsaved()
			err = errors.Join(err, back)
		}
		return err
	}
	e.finish(rec)
	return nil
}

// unsaved notes that the journal lacks what it had of the file's contents.
func (f *File) unsaved() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.chain {
		c.changes++
	}
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

// removeObjects deletes the objects in the file's place in the queues: what waits behind it
// may be made over what it builds on. Where that fails it has its place again.
func (e *Engine) removeObjects(ctx context.Context, f *File, rec *journal.Record, key string) error {
	f.mu.Lock()
	place := f.ticket
	f.ticket, f.parked = nil, false
	f.mu.Unlock()
	turn, err := e.queue.exclusive(ctx, place, keysOf(rec, key)...)
	defer e.queue.done(turn)
	if err == nil {
		err = e.deleteNamed(ctx, rec, key)
	}
	if err != nil && place != nil {
		f.mu.Lock()
		f.placed(e.queue.follow(turn, f.publish, f.keys()...))
		f.mu.Unlock()
	}
	return err
}

// deleteNamed deletes the objects of a file whose name is the key.
func (e *Engine) deleteNamed(ctx context.Context, rec *journal.Record, key string) (err error) {
	for _, o := range rec.Delete {
		if o.Key == key && o.ETag != "" { // what the user sees under the name goes, whatever version
			err = e.deleteNoted(ctx, o.Key)
		} else {
			_, err = e.deleteUnchanged(ctx, o)
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
