package transfer

import (
	"context"
	"time"

	"s3mount/transfer/journal"
)

// An upload that is given up is in the journal until the bucket has aborted it: the
// transaction that takes away what named it notes a record in its place. So does the intent
// of one that is being created.

// abortOf is the record that stands for an upload until it is aborted.
func (e *Engine) abortOf(key, id string) journal.Record {
	return journal.Record{ID: journal.NewID(), Seq: e.nextSeq(), NoContent: true, Upload: &journal.Upload{Key: key, ID: id}}
}

// intentOf is the record that stands for an upload which is being created.
func (e *Engine) intentOf(key string) journal.Record {
	return journal.Record{ID: journal.NewID(), Seq: e.nextSeq(), NoContent: true, Creating: key}
}

// standIn is the record that takes the place of what named the upload of a content. The
// caller holds f.mu.
func (f *File) standIn(c *content, s *upload) (rec journal.Record, ok bool) {
	switch {
	case s.id != "":
		return f.eng.abortOf(s.key, s.id), true
	case c.intent == "" || s.intent != "":
		return rec, false
	}
	rec = f.eng.intentOf(s.key)
	s.intent = rec.ID
	return rec, true
}

// abandon gives a content's uploads up. The caller holds f.mu.
func (f *File) abandon(c *content) {
	if u := c.orphan; u != nil {
		c.orphan = nil
		f.note(f.eng.abortOf(u.Key, u.ID))
	}
	s := c.stream
	if s == nil {
		return
	}
	c.stream = nil
	s.cancel()
	if rec, ok := f.standIn(c, s); ok {
		f.note(rec)
	}
}

// note lets a record go with the next transaction of the file, and sees to it that there is
// one. The caller holds f.mu.
func (f *File) note(rec journal.Record) {
	f.notes = append(f.notes, rec)
	f.eng.queue.wg.Go(func() {
		f.saving.Lock()
		defer f.saving.Unlock()
		if err := f.apply(nil); err != nil {
			f.eng.log.Error("the journal cannot note that an upload is given up", "err", err)
		}
	})
}

// apply is a transaction of the file's records, with what was noted since the last one.
// The caller holds f.saving.
func (f *File) apply(put []journal.Record, remove ...string) error {
	f.mu.Lock()
	notes := f.notes
	f.notes = nil
	f.mu.Unlock()
	if len(put)+len(remove)+len(notes) == 0 {
		return nil
	}
	put = append(put, notes...)
	if err := f.eng.apply(put, remove...); err != nil {
		f.mu.Lock()
		f.notes = append(f.notes, notes...)
		f.mu.Unlock()
		return err
	}
	f.eng.abortAll(put)
	return nil
}

// abortAll begins to abort the uploads that records without content stand for.
func (e *Engine) abortAll(notes []journal.Record) {
	for i := range notes {
		if notes[i].NoContent && notes[i].Upload != nil {
			e.deleteLater(&notes[i], nil)
		}
	}
}

// created ends the intent of an upload whose content was dropped meanwhile.
func (f *File) created(s *upload) {
	f.mu.Lock()
	id := s.intent
	f.mu.Unlock()
	if id == "" {
		return
	}
	f.saving.Lock()
	defer f.saving.Unlock()
	if err := f.apply(nil, id); err != nil {
		f.eng.log.Warn("the journal cannot forget that an upload was being created", "key", s.key, "err", err)
	}
}

// abort tells the bucket to drop the parts of an upload. The key of one that may be left
// is remembered.
func (e *Engine) abort(key, id string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(e.ctx), 30*time.Second)
	defer stop()
	if err := e.bucket.Abort(ctx, key, id); err != nil {
		e.leaveUpload(key, id, err)
	}
}
