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

// Rename gives a file with unpublished content another key. It never waits for the
// network: the object follows with the publication. replaced is the object that
// the bucket has at the new key, and moved what else has to go afterwards. The
// unpublished contents of the victims, which had the key, go in the same transaction.
func (f *File) Rename(key string, replaced *s3.Object, moved []journal.Object, victims ...*File) error {
	gone, notes := contentsOf(victims)
	f.mu.Lock()
	if f.cancelled {
		f.mu.Unlock()
		return ErrStale
	}
	f.meta.CtimeNS = now()
	if last := f.head(); last == f.publishing || last == f.clean { // perhaps published a moment ago
		c := derived(last)
		c.changes = 1
		f.chain = append(f.chain, c)
		f.eng.dirtyAdd(f)
		f.freeze()
	}
	old := f.key
	if f.object != nil {
		f.moved = append(f.moved, versionOf(f.object, old))
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
			for _, o := range c.was {
				f.mayBeAt(o.Key, o.Publication)
			}
			c.changes++
			c.meta.CtimeNS = f.meta.CtimeNS
			list = append(list, c)
			journaled = journaled || c.frozen || c.rec != nil
		}
	}
	head := f.head()
	if journaled {
		f.notes = append(f.notes, notes...)
	}
	f.mu.Unlock()
	if !journaled {
		return f.eng.journal.NoteOpen(head.id, key)
	}
	if err := f.saveName(list, gone); err != nil {
		return err
	}
	f.enqueue(f.eng.opts.Settle)
	return nil
}

// saveName brings the contents under their new key to the journal. The transaction
// that does it for the newest one is the rename: after a crash the file is where that
// says. What it builds on has to be there before.
func (f *File) saveName(list []*content, gone []string) error {
	last := len(list) - 1
	if err := f.saveMissing(list[:last]...); err != nil {
		return err
	}
	if err := f.save(list[last], gone...); err != nil {
		return err
	}
	return f.commit()
}

// saveMissing saves the contents that the journal has not.
func (f *File) saveMissing(list ...*content) error {
	for _, c := range list {
		f.mu.Lock()
		known := c.rec != nil
		f.mu.Unlock()
		if known {
			continue
		}
		if err := f.save(c); err != nil {
			return err
		}
	}
	return nil
}

// contentsOf is the records of unpublished contents, and those that stand for their uploads.
func contentsOf(files []*File) (ids []string, notes []journal.Record) {
	for _, f := range files {
		f.mu.Lock()
		remove, uploads := f.eng.givenUp(f)
		ids, notes = append(ids, remove...), append(notes, uploads...)
		f.mu.Unlock()
	}
	return ids, notes
}

// recordIDs is what the journal may have of the file. The caller holds f.mu.
func (f *File) recordIDs() []string {
	ids := slices.Clone(f.stale)
	for _, c := range f.chain {
		ids = append(append(ids, c.folded...), c.id)
	}
	return ids
}

// settleLimit is how long a rename waits for a file that left the new name before.
const settleLimit = 30 * time.Second

// Settle waits until no file but those two has anything to do at key. Without it a
// file could be published over an object that another one, which left that name,
// still builds on.
func (e *Engine) Settle(ctx context.Context, key string, files ...*File) error {
	ctx, stop := context.WithTimeoutCause(ctx, settleLimit, errTimeout)
	defer stop()
	return e.queue.settle(ctx, key, tickets(files)...)
}

// SettleBelow waits until nothing is to be done at the key top, nor at any below it as
// a directory: files that left it may still have their old objects there.
// The files themselves may have something to do, unless they are copies of what is there.
func (e *Engine) SettleBelow(ctx context.Context, top string, files ...*File) error {
	ctx, stop := context.WithTimeoutCause(ctx, settleLimit, errTimeout)
	defer stop()
	own, of := tickets(files), func(k string) bool { return below(k, top) }
	return e.queue.settleAll(ctx, of, func(t *ticket) bool {
		return slices.Contains(own, t) && !slices.ContainsFunc(t.copies, of)
	})
}

func tickets(files []*File) []*ticket {
	var own []*ticket
	for _, f := range files {
		f.mu.Lock()
		own = append(own, f.ticket)
		f.mu.Unlock()
	}
	return own
}

// FormerObjects is what the bucket still has of the file under former names, and is
// deleted once the file is published.
func (f *File) FormerObjects() []ObjectRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]ObjectRef(nil), f.moved...)
}

// MoveObject renames a published file whose metadata are known: the server copies
// its object, then the old one is deleted. It replaces the object of victim, or else
// left, which the bucket still has at key; a version there that another client wrote
// is kept under another name. After a crash in the middle the next process goes on.
// What could not be deleted yet is returned.
func (e *Engine) MoveObject(ctx context.Context, f *File, key string, victim *File, left *s3.Object) (later []ObjectRef, err error) {
	from := f.Key()
	release, err := e.queue.exclusive(ctx, from, key)
	if err != nil {
		return nil, err
	}
	defer release()
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
	if err := e.apply([]journal.Record{rec}); err != nil {
		return nil, err
	}
	done, err := e.deleteNow(ctx, &rec, source{o.Key, o.ETag, asked}, nil)
	if !done {
		later = rec.Delete
	}
	return later, err
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
		return f.eng.journal.NoteOpen(head.id, key)
	}
	return f.commit()
}
