package transfer

import (
	"slices"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

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

// Drop takes the file out of its name, which another file has, and forgets its unpublished
// content. Descriptors go on reading it. What the journal refuses to forget at present goes
// with its next transaction.
func (f *File) Drop() { f.dropFor() }

// dropFor is Drop with more records that are written in the transaction. A file that has left
// its name already has nothing to drop.
func (f *File) dropFor(more ...journal.Record) {
	f.stopPublishing()
	f.saving.Lock()
	f.mu.Lock()
	if f.key == "" {
		f.mu.Unlock()
		f.saving.Unlock()
		return
	}
	remove, notes := f.eng.givenUp(f)
	f.mu.Unlock()
	put := slices.Concat(more, notes)
	if err := f.eng.apply(put, remove...); err != nil {
		f.eng.log.Warn("the journal cannot forget a file yet", "key", f.Key(), "err", err)
		f.eng.applyLater(put, remove...)
	}
	f.dropped(remove, notes)
}

// drop is Drop where the transaction decides, which puts rec in the place of the contents;
// nil: nothing. On an error all is as it was.
func (f *File) drop(rec *journal.Record) error {
	f.saving.Lock()
	f.mu.Lock()
	remove, notes := f.eng.givenUp(f)
	f.mu.Unlock()
	put := notes
	if rec != nil {
		put = append(slices.Clone(notes), *rec)
	}
	if err := f.eng.apply(put, remove...); err != nil {
		f.saving.Unlock()
		return err
	}
	f.mu.Lock()
	f.doomed = rec
	f.mu.Unlock()
	f.dropped(remove, notes)
	return nil
}

// dropped is what follows when the journal has given the contents up. The caller holds
// f.saving, which it unlocks.
func (f *File) dropped(ids []string, notes []journal.Record) {
	f.leave(notes)
	f.eng.abortAll(notes)
	f.mu.Lock()
	for _, c := range f.chain {
		c.rec, c.sealed = nil, 0 // later writes change no record
		c.orphan = nil
	}
	f.stale = nil
	f.meta.CtimeNS = now() // it has one name less
	f.mu.Unlock()
	f.saving.Unlock()
	f.eng.noteClosed(ids...)
	f.release()
}
