package transfer

import (
	"context"
	"slices"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

// Rename gives a file with unpublished content another key. It never waits for the
// network: the object follows with the publication. replaced is the object that
// the bucket has at the new key, and moved what else has to go afterwards. The
// unpublished contents of the victims, which had the key, go in the same transaction.
// When the journal refuses that, all is as it was.
func (f *File) Rename(key string, replaced *s3.Object, moved []journal.Object, victims ...*File) error {
	gone, notes := contentsOf(victims)
	was, list, err := f.rekey(key, replaced, moved)
	if err != nil || list == nil {
		return err
	}
	err = f.saveName(list, notes, gone)
	if err != nil && !f.renameBack(was, key, list) {
		f.eng.log.Warn("the journal cannot note a rename yet", "from", was.key, "to", key, "err", err)
		err = nil
	}
	f.enqueue(f.eng.opts.Settle)
	return err
}

// RenameBelow is Rename within the rename of a directory, which the journal has as a whole.
func (f *File) RenameBelow(key string) error {
	_, list, err := f.rekey(key, nil, nil)
	if err != nil || list == nil {
		return err
	}
	err = f.saveName(list, nil, nil)
	f.enqueue(f.eng.opts.Settle)
	return err
}

// rekey gives the file another key. It returns what it was called, and the contents that the
// journal has to have under the new key; nil: none of them is there yet.
func (f *File) rekey(key string, replaced *s3.Object, moved []journal.Object) (was name, list []*content, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancelled {
		return was, nil, ErrStale
	}
	was = name{f.key, f.object, slices.Clone(f.moved), f.clean}
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
			if c.frozen || c.rec != nil {
				list = append(list, c)
			}
		}
	}
	f.noteName()
	if last := f.head(); len(list) == 0 && len(f.moved) > 0 && last != f.publishing {
		list = append(list, last) // nothing else can say what has to go
	}
	return was, list, nil
}

// name is what a file is called, and what the bucket has under that and former names.
type name struct {
	key    string
	object *s3.Object
	moved  []journal.Object
	clean  *content
}

// renameBack takes a rename to the key back that the journal refused. It does not when a
// publication is on its way there.
func (f *File) renameBack(was name, key string, list []*content) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key != key || f.sentTo == key {
		return false
	}
	f.key, f.object, f.moved = was.key, was.object, was.moved
	if o := f.clean; o != was.clean && o.remote.Object().Key == was.key { // published meanwhile
		now := o.remote.Object()
		f.object = &now
	}
	for _, c := range list {
		c.changes++
	}
	return true
}

// saveName brings the contents under their new key to the journal. The transaction
// that does it for the newest one is the rename: after a crash the file is where that
// says. What it builds on has to be there before.
func (f *File) saveName(list []*content, notes []journal.Record, gone []string) error {
	last := len(list) - 1
	if err := f.saveMissing(list[:last]...); err != nil {
		return err
	}
	if err := f.saveAlso(list[last], notes, gone); err != nil {
		return err
	}
	if err := f.saveKnown(); err != nil { // whatever sends them saves them first
		f.eng.log.Warn("the journal cannot note a rename of older versions yet", "key", f.Key(), "err", err)
	}
	return nil
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
// The files themselves may have something to do, unless they are copies of what is there, or
// have left just that key: many a store takes nothing below a key that has an object.
func (e *Engine) SettleBelow(ctx context.Context, top string, files ...*File) error {
	ctx, stop := context.WithTimeoutCause(ctx, settleLimit, errTimeout)
	defer stop()
	own, of := tickets(files), func(k string) bool { return below(k, top) }
	return e.queue.settleAll(ctx, of, func(t *ticket) bool {
		return slices.Contains(own, t) && !slices.ContainsFunc(t.copies, of) && !slices.Contains(t.keys, top)
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
