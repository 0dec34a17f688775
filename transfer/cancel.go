package transfer

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

var (
	// ErrCancelled: somebody gave the publication up.
	ErrCancelled = errors.New("its publication was cancelled")
	// ErrPublished: there is nothing to cancel.
	ErrPublished = errors.New("it is in the bucket already")
	// ErrBusy: a descriptor may still write.
	ErrBusy = errors.New("it is open for writing")
)

// askLimit is how long Cancel asks whether a lost answer was a success.
const askLimit = 10 * time.Second

// Cancel gives up what is not published of a file: its uploads, its records and
// its local bytes go, the bucket stays as it is. Descriptors go on reading what
// they have; nobody can open the file any more. A file that has overflowed can be
// cancelled while it is written: reads and writes fail from then on, and so does the
// close. It returns the objects under former names that were to be deleted with the
// publication, and stay. It fails with ErrBusy or ErrPublished, and changes nothing
// then.
//
// All of it is one transaction of the journal: after a crash the file is either as
// it was, or gone. Aborting its uploads is part of that transaction, and repeated
// until the bucket answers.
func (e *Engine) Cancel(ctx context.Context, f *File) (kept []ObjectRef, err error) {
	f.mu.Lock()
	err = f.cancellable()
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	f.stopPublishing()
	if f.publishedUnheard(ctx) {
		f.Attach()
		return nil, ErrPublished
	}
	kept, err = f.giveUp()
	if f.isCancelled() {
		e.signalFreed() // writes that wait for room end
		f.empty()
		f.release()
		e.signalFreed()
	}
	return kept, err
}

// giveUp is the transaction of Cancel.
func (f *File) giveUp() (kept []ObjectRef, err error) {
	e := f.eng
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.Lock()
	if err = f.cancellable(); err != nil {
		f.mu.Unlock()
		f.Attach()
		return nil, err
	}
	f.cancelled, f.forgotten = true, true // nobody opens it from here on
	remove, notes := e.givenUp(f)
	f.mu.Unlock()
	if err := e.apply(notes, remove...); err != nil {
		f.mu.Lock()
		f.cancelled, f.forgotten = false, false
		f.mu.Unlock()
		f.Attach()
		return nil, err
	}
	kept = f.leave(notes)
	e.abortAll(notes)
	e.noteClosed(remove...)
	return kept, nil
}

// empty gives back the disk room of what is still being written: its descriptors may
// stay open for long.
func (f *File) empty() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writers == 0 {
		return
	}
	for _, c := range slices.Clone(f.chain) {
		for c.inflight > 0 || c.spooling {
			f.cond.Wait()
		}
		if c.spool == nil {
			continue
		}
		f.overflows++
		c.ext.Set(0, c.ext.Size(), plan.Sent)
		if err := errors.Join(c.spool.Truncate(0), c.spool.Remove()); err != nil {
			f.eng.log.Warn("cannot free spool room", "err", err)
		}
		c.spool.Unreserve(math.MaxInt64)
	}
}

// cancellable tells whether there is something to cancel. The caller holds f.mu.
func (f *File) cancellable() error {
	switch {
	case f.key == "" || len(f.chain) == 0:
		return ErrPublished
	case f.writers > 0 && !slices.ContainsFunc(f.chain, (*content).overflowed):
		return ErrBusy // it is safe with its close, and can be cancelled then
	}
	return nil
}

// publishedUnheard tells whether a request whose answer was lost has published the
// content. Where the bucket cannot be asked, it has not.
func (f *File) publishedUnheard(ctx context.Context) bool {
	ctx, stop := context.WithTimeout(ctx, askLimit)
	defer stop()
	f.mu.Lock()
	var tried []*content
	for _, c := range f.chain {
		if c.tried {
			tried = append(tried, c)
		}
	}
	f.mu.Unlock()
	for _, c := range tried {
		if _, ok, err := f.isPublished(ctx, c, c.at); err == nil && ok {
			return true
		}
	}
	return false
}

// givenUp is the records that go with a file's contents, and those that stand for its uploads
// then. The caller holds f.mu.
func (e *Engine) givenUp(f *File) (remove []string, notes []journal.Record) {
	for _, c := range f.chain {
		if s := c.stream; s != nil {
			if rec, ok := f.standIn(c, s); ok {
				notes = append(notes, rec)
			}
		}
		if o := c.orphan; o != nil {
			notes = append(notes, e.abortOf(o.Key, o.ID))
		}
	}
	return f.recordIDs(), notes
}

// leave takes the file out of its name. It returns when no part of its uploads is
// on its way any more: an abort would miss it.
func (f *File) leave(notes []journal.Record) (kept []ObjectRef) {
	noted := func(id string) bool {
		return slices.ContainsFunc(notes, func(r journal.Record) bool { return r.Upload != nil && r.Upload.ID == id })
	}
	f.mu.Lock()
	for _, c := range f.chain {
		if s := c.stream; s != nil {
			s.cancel() // one that is only being created aborts itself, unless that has just ended
			if s.id != "" && !noted(s.id) {
				f.eng.queue.wg.Go(func() { f.eng.abort(s.key, s.id) })
			}
			for s.sending() {
				f.cond.Wait()
			}
			c.stream = nil
		}
	}
	kept = f.moved
	t := f.ticket
	f.key, f.ticket, f.object, f.moved = "", nil, nil, nil
	f.cond.Broadcast()
	f.mu.Unlock()
	f.eng.dirtyRemove(f)
	if t != nil {
		f.eng.queue.done(t)
	}
	return kept
}

// sending tells whether a part is on its way. The caller holds File.mu.
func (s *upload) sending() bool {
	for _, p := range s.parts {
		if p.state == partSending {
			return true
		}
	}
	return false
}
