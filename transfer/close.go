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

// freeze ends writing in place: the newest content stays as it is from now on.
// The caller holds f.mu; it is let go while writes end.
func (f *File) freeze() {
	c := f.head()
	for c.inflight > 0 {
		f.cond.Wait()
		if c = f.head(); c.frozen {
			return
		}
	}
	if c.frozen {
		return
	}
	c.frozen = true
	if c.rewritten {
		c.rewritten = false
		c.changes++ // the record is to have its checksums
	}
	f.frozenGen++
	if s := c.stream; s != nil && !f.timed { // what the upload carries, so that no copy is needed for it
		f.meta.MtimeNS = s.meta.MtimeNS
		if sameMeta(&s.meta, &f.meta) {
			f.meta.CtimeNS = s.meta.CtimeNS
		}
	}
	c.gen, c.meta = f.frozenGen, f.meta
	if !c.early {
		c.seq = f.eng.nextSeq()
	}
}

// Flush makes every byte written so far durable, so that a crash of the mount or
// of the machine loses nothing. Every close of a descriptor calls it.
func (f *File) Flush(ctx context.Context) error {
	f.mu.Lock()
	dirty := f.writers > 0 && len(f.chain) > 0
	f.mu.Unlock()
	if !dirty {
		return nil
	}
	f.eng.noteClose()
	if f.eng.opts.CloseInBucket {
		return f.sync(ctx, f.eng.opts.SyncInJournal)
	}
	if !f.overflowing() {
		if err := f.commit(); err != nil || !f.overflowing() {
			return err
		}
	} // perhaps since a moment ago
	return f.publishNow(ctx, 0)
}

// commit brings to the journal what it does not have: the newest content, and a
// frozen one below it that another descriptor's write has overtaken.
func (f *File) commit() error {
	var saved *content // the open content, which may change for ever
	for {
		var c *content
		f.mu.Lock()
		if f.key != "" {
			for _, x := range f.chain {
				if (x.rec == nil || x.durable != x.changes) && x != saved && !x.overflowed() {
					c = x
					break
				}
			}
		}
		if c != nil && !c.frozen {
			saved = c
		}
		f.mu.Unlock()
		if c == nil {
			return nil
		}
		if err := f.save(c); err != nil {
			return err
		}
	}
}

// save makes the content durable: its bytes, then its record. Those of versions that were
// folded into it go in the same transaction; those that build on them build on c then.
func (f *File) save(c *content) error { return f.saveAlso(c, nil, nil) }

// saveAlso is save, with more records that are written and removed in the transaction.
func (f *File) saveAlso(c *content, more []journal.Record, remove []string) error {
	f.lockQuiet(c)
	defer f.saving.Unlock()
	folded := len(c.folded)
	remove = slices.Concat(remove, c.folded)
	if f.key == "" || c.overflowed() || !slices.Contains(f.chain, c) || c.rec != nil && c.durable == c.changes && len(remove) == 0 {
		f.mu.Unlock()
		return nil
	}
	if !c.frozen {
		c.meta = f.meta
	}
	if c.seq == 0 {
		c.seq = f.eng.nextSeq()
	}
	rec, at, spool := f.record(c), c.changes, c.spool
	if spool != nil {
		spool.Ref()
	}
	first := c.rec == nil && len(remove) == 0
	heirs := f.heirs(c, remove)
	f.mu.Unlock()
	for _, r := range heirs {
		more = append(more, *r)
	}
	if err := f.persist(c, &rec, at, spool, first, more, remove); err != nil {
		return err
	}
	f.mu.Lock()
	c.durable, c.rec, c.folded = at, &rec, c.folded[folded:]
	for x, r := range heirs {
		x.rec = r
	}
	f.mu.Unlock()
	f.eng.noteClosed(c.id)
	return nil
}

// lockQuiet locks f.saving and f.mu when no write is on its way into the content.
// It does not wait for one with f.saving held: a write that waits for room needs
// that to let parts leave the spool.
func (f *File) lockQuiet(c *content) {
	for {
		f.saving.Lock()
		f.mu.Lock()
		if c.inflight == 0 {
			return
		}
		f.saving.Unlock()
		for c.inflight > 0 {
			f.cond.Wait()
		}
		f.mu.Unlock()
	}
}

// heirs is the records of the contents that build on one of those named: they build
// on c now. The caller holds f.mu and f.saving.
func (f *File) heirs(c *content, removed []string) map[*content]*journal.Record {
	out := map[*content]*journal.Record{}
	for _, x := range f.chain {
		if x != c && x.rec != nil && slices.Contains(removed, x.rec.BaseID) {
			r := *x.rec
			r.BaseID = c.id
			out[x] = &r
		}
	}
	return out
}

// persist brings the spool file and the record to the disk. The first record of a
// content goes there side by side with its bytes when it has their checksums: after
// a power loss in between, these tell that the bytes are not all there. The spool
// file is unreferenced.
func (f *File) persist(c *content, rec *journal.Record, at uint64, spool *journal.File, first bool, more []journal.Record, remove []string) error {
	apply := func() error { return f.apply(append(more, *rec), remove...) }
	if spool == nil {
		return apply()
	}
	defer spool.Unref()
	var err error
	if rec.Sums, err = f.sumSpool(c, rec, spool, at); err != nil {
		return err
	}
	if !first || rec.Sums == nil {
		if err := spool.Sync(); err != nil {
			return err
		}
		return apply()
	}
	synced := make(chan error, 1)
	go func() { synced <- spool.Sync() }()
	err = apply()
	if failed := <-synced; failed != nil {
		return errors.Join(failed, err, f.eng.apply(nil, rec.ID))
	}
	return err
}

// saveUpload notes the content's upload in the journal, and nothing else about it.
// creating is the key at which one is about to be created.
func (f *File) saveUpload(c *content, creating string) error {
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.Lock()
	if f.key == "" || !slices.Contains(f.chain, c) { // it is not to come back
		f.mu.Unlock()
		return context.Canceled
	}
	c.intent = creating
	rec := f.record(c)
	if c.rec != nil {
		up := rec.Upload
		rec = *c.rec
		rec.Upload, rec.Creating = up, creating
		c.rec = &rec
	} else {
		rec.Open = true
	}
	f.mu.Unlock()
	return f.apply([]journal.Record{rec})
}

// record is the journal's form of the content. The caller holds f.mu.
func (f *File) record(c *content) journal.Record {
	r := journal.Record{
		ID: c.id, Seq: c.seq, Key: f.key, Extents: c.ext.List(), Meta: c.meta,
		Publication: c.born, Delete: f.moved, Creating: c.intent, Merging: c.merging,
	}
	if f.object != nil {
		r.Replaces = f.object.ETag
	}
	if i := slices.Index(f.chain, c); i > 0 {
		r.BaseID = f.chain[i-1].id // also when it has no byte of it: the order matters
	}
	if o := c.baseObject(); o != nil {
		r.Base = &journal.Object{Key: o.Key, ETag: o.ETag, VersionID: o.VersionID, Size: o.Size}
	}
	if r.Upload = c.stream.journal(); r.Upload == nil {
		r.Upload = c.orphan
	}
	if o := c.done; o != nil {
		r.Done = &journal.Object{Key: o.Key, ETag: o.ETag, VersionID: o.VersionID, Size: o.Size}
	}
	return r
}

// CloseHandle ends a descriptor. The last writer's publishes the file.
func (f *File) CloseHandle(write bool) {
	f.mu.Lock()
	f.handles--
	if write {
		f.writers--
	}
	f.endWriter()
	publish := write && f.writers == 0 && len(f.chain) > 0 && f.key != ""
	f.mu.Unlock()
	if publish {
		if err := f.publishSoon(); err != nil {
			f.eng.log.Error("close: cannot keep the file in the journal", "key", f.Key(), "err", err)
		}
	}
	f.release()
}

// release lets go of what no descriptor needs any more. An unlinked file's bytes
// stay until it is forgotten: somebody may be about to open it.
func (f *File) release() {
	f.mu.Lock()
	if f.handles > 0 {
		f.mu.Unlock()
		return
	}
	old, doomed := f.retired, f.doomed
	f.retired, f.doomed = nil, nil
	if f.forgotten && (f.key == "" || len(f.chain) == 0) {
		old = append(old, f.chain...)
		if f.clean != nil {
			old = append(old, f.clean)
		}
		f.chain, f.clean = nil, publishedContent(s3.Object{})
	}
	for _, c := range old {
		c.close() // with the lock: an eviction may be at the same content
	}
	f.mu.Unlock()
	if doomed != nil {
		f.eng.deleteLater(doomed, nil)
	}
}

// publishSoon freezes what was written and puts it in the queue.
func (f *File) publishSoon() error {
	f.mu.Lock()
	f.freeze()
	f.mu.Unlock()
	err := f.commit()
	f.enqueue(f.eng.opts.Settle)
	return err
}

// Sync returns when the content that is current now is in the bucket. Of a file that has
// only been given its size, the record in the journal is enough: download programs call it
// before the first byte, and would send the whole file in zeros.
func (f *File) Sync(ctx context.Context) error {
	return f.sync(ctx, f.eng.opts.SyncInJournal || f.preallocated())
}

// preallocated reports whether the file is a large one that somebody is about to write:
// it has a size, and no byte yet.
func (f *File) preallocated() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writers == 0 || len(f.chain) != 1 {
		return false
	}
	c := f.chain[0]
	return !c.frozen && c.scratch() && c.ext.Size() >= streamFrom && c.ext.Bytes(plan.Hole) == c.ext.Size()
}

func (f *File) sync(ctx context.Context, inJournal bool) error {
	if inJournal && !f.overflowing() {
		if err := f.commit(); err != nil || !f.overflowing() {
			return err
		}
	}
	return f.publishNow(ctx, f.eng.opts.SyncTimeout)
}

// publishNow returns when the content that is current now is in the bucket. After
// limit (0: none) it fails, and the publication goes on.
func (f *File) publishNow(ctx context.Context, limit time.Duration) error {
	f.mu.Lock()
	if f.cancelled && f.writers > 0 {
		f.mu.Unlock()
		return ErrCancelled
	}
	if len(f.chain) == 0 || f.key == "" {
		f.mu.Unlock()
		return nil
	}
	f.freeze()
	want := f.frozenGen
	f.mu.Unlock()
	if err := f.commit(); err != nil {
		return err
	}
	f.mu.Lock()
	f.lastErr = nil
	f.mu.Unlock()
	f.enqueue(0)
	return f.waitFor(ctx, want, limit)
}

// errTimeout: the publication did not end in time; it goes on.
var errTimeout = errors.New("not in the bucket yet; the upload goes on")

// errClosed: the engine was closed before the publication ended.
var errClosed = errors.New("not in the bucket yet; the next mount goes on")

// waitFor waits until the content of that generation is published. An error that
// a retry will not mend ends the wait, and so does the time limit (0: none).
func (f *File) waitFor(ctx context.Context, gen uint64, limit time.Duration) error {
	if limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit, errTimeout)
		defer stop()
	}
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cond.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiters++
	defer func() { f.waiters-- }()
	for f.doneGen < gen && f.key != "" {
		if f.lastErr != nil && !mendable(f.lastErr) {
			return f.lastErr
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), f.lastErr)
		}
		if f.eng.ctx.Err() != nil { // the journal has it
			return errors.Join(errClosed, f.lastErr)
		}
		f.cond.Wait()
	}
	if f.cancelled && f.doneGen < gen {
		return ErrCancelled
	}
	return nil
}
