package transfer

import (
	"context"
	"errors"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// enqueue gives the file's frozen content its place in the queues of its keys, to
// be published after the delay, or sooner if it has a place already.
func (f *File) enqueue(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paused || f.key == "" || len(f.chain) == 0 || !f.chain[0].frozen {
		return
	}
	f.eng.guard.begin(f.eng)
	if f.ticket == nil {
		f.placed(f.eng.queue.add(max(delay, time.Millisecond), f.publish, f.keys()...))
	} else if f.lingers {
		f.eng.queue.delay(f.ticket, max(delay, time.Millisecond))
	}
	f.lingers = false
	if delay == 0 {
		f.eng.queue.hasten(f.ticket)
	}
}

// placed takes a ticket. The caller holds f.mu.
func (f *File) placed(t *ticket) {
	f.ticket = t
	f.eng.queue.copiesFrom(t, f.sources()...)
	f.eng.queue.mayHold(t, f.head().ext.Size() < bulkFrom)
}

// publish brings the newest frozen content into the bucket. It runs when the
// file's ticket is first in all its queues.
func (f *File) publish(t *ticket) {
	err := f.publishOnce(t)
	f.mu.Lock()
	if f.ticket != t { // ended before it began
		f.mu.Unlock()
		return
	}
	f.publishing, f.sentTo, f.completing, f.cancel = nil, "", false, nil
	f.cond.Broadcast()
	switch {
	case f.paused || f.key == "": // who stopped it goes on with the ticket
		f.parked = true
		f.eng.queue.rest(t)
		f.mu.Unlock()
	case err != nil:
		f.lastErr = err
		f.failures++
		delay := backoff(f.failures)
		if errors.Is(err, ErrConflict) {
			delay = conflictPause
		}
		f.mu.Unlock()
		if f.eng.ctx.Err() == nil {
			f.eng.log.Warn("not in the bucket yet", "key", f.Key(), "retry_in", delay, "err", err)
		}
		f.eng.queue.failed(t, delay, err)
	case len(f.chain) > 0 && (f.chain[0].frozen || f.lingers): // closed again meanwhile
		delay := f.eng.opts.Settle
		if f.waiters > 0 {
			delay = 0
		}
		keys, sources := f.keys(), f.sources()
		f.mu.Unlock()
		f.eng.queue.touch(t, keys...)
		f.eng.queue.copiesFrom(t, sources...)
		f.eng.queue.retry(t, delay)
	default:
		f.ticket = nil
		if len(f.chain) == 0 {
			f.eng.dirtyRemove(f)
		}
		f.mu.Unlock()
		f.eng.queue.done(t)
		f.release()
		if f.eng.opts.Settled != nil {
			f.eng.opts.Settled(f)
		}
	}
}

// keys is every key that publishing the file changes. The caller holds f.mu.
func (f *File) keys() []string {
	keys := []string{f.key}
	for _, o := range f.moved {
		keys = append(keys, o.Key)
	}
	if len(f.chain) == 0 { // published while somebody held it up
		return keys
	}
	if s := f.chain[0].stream; s != nil {
		keys = append(keys, s.key)
	}
	return keys
}

// sources is the keys that publishing the file copies from, also its own one. The caller
// holds f.mu.
func (f *File) sources() (keys []string) {
	for _, c := range f.chain {
		if o := c.baseObject(); o != nil {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

func (f *File) publishOnce(t *ticket) error {
	ctx, cancel := context.WithCancel(f.eng.ctx)
	defer cancel()
	if err := f.dropStale(); err != nil {
		return err
	}
	f.mu.Lock()
	if f.lingers && f.ticket == t { // somebody waits for what is there of the copy
		f.freeze()
		f.lingers = false
	}
	frozen := f.sendable()
	if len(frozen) == 0 || f.ticket != t || f.paused || f.key == "" {
		f.mu.Unlock()
		return nil
	}
	f.cancel = cancel
	f.publishing = frozen[len(frozen)-1]
	alone := frozen[0].tried
	if alone {
		f.publishing = frozen[0]
	}
	f.mu.Unlock()
	if alone && len(frozen) > 1 { // it may be in the bucket: find out before anything is folded in
		ok, err := f.mayFold(ctx, frozen[0])
		if err != nil {
			return err
		}
		f.mu.Lock()
		if alone = !ok; ok {
			f.publishing = frozen[len(frozen)-1]
		}
		f.mu.Unlock()
	}
	if alone {
		frozen = frozen[:1]
	}
	c, err := f.fold(frozen)
	if errors.Is(err, ErrSpoolFull) && len(frozen) > 1 { // one by one they need no room
		f.mu.Lock()
		if oldest := f.chain[0]; oldest.merging == "" {
			c, err = oldest, nil
			f.publishing = c
		}
		f.mu.Unlock()
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	if n := len(f.moved); c.tried {
		if f.mayBeAt(c.at, c.born); len(f.moved) > n {
			c.changes++ // it was renamed since
		}
	}
	f.mu.Unlock()
	if err := f.save(c); err != nil {
		return err
	}
	for try := 1; ; try++ {
		f.mu.Lock()
		key, expect := f.key, f.object
		f.sentTo = key
		f.mu.Unlock()
		o, err := f.send(ctx, c, key, expect)
		if err == nil {
			return f.published(ctx, c, key, o)
		}
		if err = f.afterFailure(ctx, c, key, err); !errors.Is(err, errRenewed) || try == maxRenewals {
			return err
		}
	}
}

// sendable is the frozen contents that may become one: up to the first that has overflowed,
// since no record of it could stand for those below. The caller holds f.mu.
func (f *File) sendable() (list []*content) {
	for _, c := range f.chain {
		if !c.frozen || c.overflowed() && len(list) > 0 {
			break
		}
		if list = append(list, c); c.overflowed() {
			break
		}
	}
	return list
}

// conflictPause is the time between two tries of what only another client, or the
// user, can mend.
const conflictPause = 10 * time.Minute

// maxRenewals is how often one publication may meet yet another version.
const maxRenewals = 4

// send makes the content the object at key, whose present version is expect.
func (f *File) send(ctx context.Context, c *content, key string, expect *s3.Object) (s3.Object, error) {
	if c.tried {
		o, ok, err := f.isPublished(ctx, c, key)
		if err != nil {
			return o, err
		}
		if ok {
			f.endUploads(c)
			if carries(&o, Properties(&c.meta, key, c.born)) {
				return o, nil
			}
			return f.rename(ctx, c, key, o, key, &o) // the bytes are there, what came later is not
		}
		for _, from := range f.triedAt(c, key) { // it was renamed since
			o, ok, err = f.isPublished(ctx, c, from)
			if err != nil {
				return o, err
			}
			if ok {
				f.endUploads(c)
				return f.rename(ctx, c, from, o, key, expect)
			}
		}
	}
	if c.orphan != nil {
		if err := f.resume(ctx, c); err != nil {
			return s3.Object{}, err
		}
	}
	size, base := c.ext.Size(), c.baseObject()
	if size == 0 { // cut since: an upload has at least one part
		f.mu.Lock()
		f.abandon(c)
		f.mu.Unlock()
	}
	if c.stream == nil && c.done == nil && c.overflowed() {
		return s3.Object{}, ErrUploadLost
	}
	if c.stream == nil {
		switch {
		case c.done != nil && size <= plan.MaxPart:
			return f.copyBase(ctx, c, c.done, key, expect)
		case c.done == nil && base != nil && c.only(plan.Base) && size == base.Size && size <= plan.MaxPart && size > 0:
			return f.copyBase(ctx, c, base, key, expect)
		case plan.OnePut(&c.ext):
			return f.put(ctx, c, key, expect)
		}
		if err := f.startUpload(ctx, c, key); err != nil {
			return s3.Object{}, err
		}
	}
	return f.complete(ctx, c, key, expect)
}

// endUploads aborts the uploads of a content that is in the bucket: it may have come there by
// another one, which a request of an earlier process completed.
func (f *File) endUploads(c *content) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandon(c)
}

// startUpload creates the multipart upload of a frozen content.
func (f *File) startUpload(ctx context.Context, c *content, key string) error {
	var pieces []plan.Piece
	if c.done != nil {
		all := plan.NewExtents(c.ext.Size(), plan.Base)
		pieces = plan.Edit(&all)
	} else if c.base != nil {
		pieces = plan.Edit(&c.ext)
		if err := f.fill(ctx, c, plan.Borrowed(&c.ext, pieces)); err != nil {
			return err
		}
	}
	f.mu.Lock()
	s := f.eng.newUpload(key, f.object, c.meta, pieces)
	s.layout = f.eng.layoutOf(c)
	c.stream = s // the record that follows the answer names it
	f.mu.Unlock()
	err := f.create(ctx, c, s)
	if err != nil {
		f.mu.Lock()
		if c.stream == s {
			f.abandon(c)
		}
		f.mu.Unlock()
		s.cancel()
	}
	return err
}

// complete sends the parts that are missing, completes the upload, and gives the
// object its final name and metadata when the upload was created with others.
func (f *File) complete(ctx context.Context, c *content, key string, expect *s3.Object) (s3.Object, error) {
	s := c.stream
	parts, err := f.sendRest(ctx, c, s)
	if err != nil {
		return s3.Object{}, err
	}
	direct := s.key == key && sameMeta(&s.meta, &c.meta) && s.meta.MtimeNS == c.meta.MtimeNS
	cond := condition(s.replaces)
	if s.key == key {
		cond = condition(expect)
	}
	if cond, err = f.eng.guardWrite(ctx, s.key, cond); err != nil {
		return s3.Object{}, err
	}
	if err := f.visible(c, s.key); err != nil {
		return s3.Object{}, err
	}
	answered := f.eng.unguarded(s.key, cond)
	o, err := f.eng.bucket.Complete(ctx, s.key, s.id, parts, cond)
	answered(err)
	if err != nil {
		if o, err = f.ambiguous(ctx, c, s.key, err); err != nil {
			return o, err
		}
	}
	if direct {
		return o, nil
	}
	return f.rename(ctx, c, s.key, o, key, expect)
}

// rename is the second half of publishing an upload under another name or with
// other metadata: the object that was completed is copied. The bytes stay in the
// spool until that is done.
func (f *File) rename(ctx context.Context, c *content, from string, o s3.Object, key string, expect *s3.Object) (s3.Object, error) {
	f.mu.Lock()
	c.endStream()
	c.tried = false
	c.done = &s3.Object{Key: from, ETag: o.ETag, VersionID: o.VersionID, Size: c.ext.Size()}
	c.changes++
	c.born = journal.NewID()
	switch {
	case from != key:
		f.moved = append(f.moved, versionOf(&o, from))
	case f.key == key:
		f.object, expect = c.done, c.done
	default:
		expect = c.done
	}
	f.mayBeAt(key, c.born) // it was renamed meanwhile
	f.mu.Unlock()
	if err := f.save(c); err != nil {
		return o, err
	}
	return f.send(ctx, c, key, expect)
}

// visible notes that the next request may publish the content.
func (f *File) visible(c *content, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key == "" || f.paused {
		return context.Canceled
	}
	f.completing, c.tried, c.at = true, true, key
	return nil
}

func condition(expect *s3.Object) s3.Cond {
	if expect == nil {
		return s3.Cond{IfNoneMatch: true}
	}
	return s3.Cond{IfMatch: expect.ETag}
}
