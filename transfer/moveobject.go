package transfer

import (
	"context"
	"errors"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// MoveObject renames a published file whose metadata are known: the server copies
// its object, then the old one is deleted. It replaces the object of victim, or else
// left, which the bucket still has at key; a version there that another client wrote
// is kept under another name. After a crash in the middle the next process goes on.
// What could not be deleted yet is returned.
func (e *Engine) MoveObject(ctx context.Context, f *File, key string, victim *File, left *s3.Object) (later []ObjectRef, err error) {
	from := f.Key()
	turn, err := e.queue.exclusive(ctx, nil, from, key)
	defer e.queue.done(turn)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.meta.CtimeNS = now()
	o, meta := *f.object, f.meta
	f.mu.Unlock()
	if victim != nil {
		left = victim.Object()
	}
	rec := e.moveRecord(o, key, left, meta)
	if err := e.apply([]journal.Record{rec}); err != nil {
		return nil, err
	}
	props := Properties(&meta, key, rec.Publication)
	asked := time.Now()
	n, err := e.replace(ctx, o, key, &props, left)
	if err != nil {
		return nil, errors.Join(err, e.takeBack(&rec, err))
	}
	props.SSE, props.SSEKMSKey, props.BucketKey = n.Props.SSE, n.Props.SSEKMSKey, n.Props.BucketKey
	n.Key, n.Size, n.LastModified, n.Props, n.HasProps = key, o.Size, time.Now(), props, true
	if err := f.Moved(key, &n); err != nil { // what was written meanwhile builds on the new object
		return nil, err
	}
	rec = journal.Record{ID: rec.ID, Seq: rec.Seq, NoContent: true, Delete: rec.Delete}
	if err := e.apply([]journal.Record{rec}); err != nil { // the intent says the same to the next process
		e.log.Warn("renamed, but the journal cannot note it yet", "key", key, "err", err)
	}
	if !e.deleteNow(ctx, &rec, source{o.Key, o.ETag, asked}, nil) {
		later = rec.Delete
	}
	return later, nil
}

// takeBack ends a move that failed. Where the copy may be there all the same, the journal
// notes that it has to go; one that took the place of an object stays, since the name
// would be left with nothing.
func (e *Engine) takeBack(rec *journal.Record, failed error) error {
	unheard := retryable(failed) || errors.Is(failed, context.Canceled)
	if !unheard || rec.Replaces != "" {
		return e.apply(nil, rec.ID)
	}
	gone := journal.Record{
		ID: rec.ID, Seq: rec.Seq, NoContent: true,
		Delete: []journal.Object{{Key: rec.Key, Publication: rec.Publication}},
	}
	if err := e.apply([]journal.Record{gone}); err != nil {
		return err
	}
	e.deleteLater(&gone, nil)
	return nil
}

// moveRecord is the intent to make the object o one at key: the record of a content
// that is nothing but o, as a later process publishes it.
func (e *Engine) moveRecord(o s3.Object, key string, replaced *s3.Object, meta Meta) journal.Record {
	ext := plan.NewExtents(o.Size, plan.Base)
	rec := journal.Record{
		ID: journal.NewID(), Seq: e.nextSeq(), Key: key, Extents: ext.List(), Meta: meta, Publication: journal.NewID(),
		Base:   &journal.Object{Key: o.Key, ETag: o.ETag, VersionID: o.VersionID, Size: o.Size},
		Delete: []journal.Object{versionOf(&o, o.Key)},
	}
	if replaced != nil {
		rec.Replaces = replaced.ETag
	}
	return rec
}

// relocate notes that the file's object has another key.
func (f *File) relocate(key string, o *s3.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o != nil && f.object != nil {
		known := append([]*content{f.clean}, f.retired...)
		for _, c := range f.chain { // of an earlier process, a base is in no list
			known = append(known, c.base)
		}
		for _, c := range known {
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
		f.eng.noteOpen(head.id, key)
		return nil
	}
	return f.commit()
}
