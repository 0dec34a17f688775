package transfer

import (
	"context"
	"errors"
	"slices"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// MoveObject renames a published file whose metadata are known: the server copies
// its object, then the old one is deleted. It replaces the object of victim, which is dropped
// then, or else left, which the bucket still has at key; a version there that another client
// wrote is kept under another name. After a crash in the middle the next process goes on.
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
	rec = journal.Record{ID: rec.ID, Seq: rec.Seq, NoContent: true, Delete: rec.Delete}
	if err := f.Moved(key, &n); err != nil { // what was written meanwhile builds on the new object
		e.log.Warn("renamed, but the journal cannot note it yet", "key", key, "err", err)
		if victim != nil {
			victim.Drop()
		}
		e.endMove(&rec, from)
		return rec.Delete, nil
	}
	if victim != nil { // what is closed there meanwhile goes, too: the name is not its own
		victim.dropFor(rec)
	} else if err := e.apply([]journal.Record{rec}); err != nil { // the intent says the same to the next process
		e.log.Warn("renamed, but the journal cannot note it yet", "key", key, "err", err)
		e.applyLater([]journal.Record{rec})
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

// Moved notes that the file has another key, or a directory above it; o is its object there,
// nil when it had none. The name has changed also when the journal refuses that.
func (f *File) Moved(key string, o *s3.Object) error {
	f.relocate(key, o)
	f.mu.Lock()
	for _, c := range f.chain {
		c.changes++
	}
	if f.ticket != nil {
		f.eng.queue.touch(f.ticket, key)
	}
	f.noteName()
	f.mu.Unlock()
	return f.saveKnown()
}

// noteName notes the key of what is being written and not in the journal. The caller holds f.mu.
func (f *File) noteName() {
	if c := f.head(); len(f.chain) > 0 && c.rec == nil && !c.frozen {
		f.eng.noteOpen(c.id, f.key)
	}
}

// saveKnown brings to the journal what has changed of the contents that it has, and those
// that were closed. What is being written is safe with its close, and not before.
func (f *File) saveKnown() error {
	f.mu.Lock()
	var list []*content
	for _, c := range f.chain {
		if (c.frozen || c.rec != nil) && (c.rec == nil || c.durable != c.changes) && !c.overflowed() {
			list = append(list, c)
		}
	}
	f.mu.Unlock()
	for _, c := range list {
		if err := f.save(c); err != nil {
			return err
		}
	}
	return nil
}

// saveMoved is saveKnown for the files that the journal has at or below a former name.
func (e *Engine) saveMoved(from string) (failed error) {
	for _, f := range e.dirtyFiles() {
		f.mu.Lock()
		outdated := slices.ContainsFunc(f.chain, func(c *content) bool {
			return c.rec != nil && c.durable != c.changes && below(c.rec.Key, from)
		})
		f.mu.Unlock()
		if outdated {
			failed = errors.Join(failed, f.saveKnown())
		}
	}
	return failed
}

// endMove ends a rename that the journal has the intent of, and refused to note the end of:
// the files under their present names first, then done, whose objects are deleted then. What
// is made under the former names waits for that.
func (e *Engine) endMove(done *journal.Record, from string) {
	noted := make(chan struct{})
	e.keepTrying(func() bool {
		if e.saveMoved(from) != nil || e.apply([]journal.Record{*done}) != nil {
			return false
		}
		close(noted)
		return true
	})
	e.deleteAfter(done, nil, noted)
}
