package transfer

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

// A bucket may carry out a request whose answer was lost, or whose process was killed, when
// its outcome was asked for already. What cannot do harm then:
//
//   - PutObject and CompleteMultipartUpload have preconditions, which fail, or make an
//     object that is known by its publication ID, which is noted where the file goes on with
//     another version: see isPublished, leftBehind, cameLate and unheardOf.
//     Under a name that the file has left it is deleted: see lookAgain.
//   - CreateMultipartUpload makes an upload at a key that the journal knows: see lost.go.
//   - UploadPart makes a part that the completion does not name: the upload begins anew.
//   - AbortMultipartUpload aborts what no record names.
//
// DeleteObject has no precondition that all stores hold, nor has CopyObject at its target, nor
// has anything at stores that ignore all of them. Their keys are noted while they are under way,
// and the next process leaves those alone for lateLimit.

// lateLimit is for how long after its start a process takes it for possible that the bucket
// carries out requests of an earlier one.
const lateLimit = 15 * time.Second

// lateMemory is for how long after such a request what it has made is known as ours.
const lateMemory = 10 * time.Minute

// unanswered is a request that is noted as under way, and gets no answer any more.
type unanswered struct {
	id    string
	until time.Time
}

// underWay notes that a request without a precondition is sent that changes those keys.
// answered has to be called with its outcome. Where the disk is full nothing is noted.
func (e *Engine) underWay(keys ...string) (answered func(err error)) {
	list := make([]journal.Object, len(keys))
	for i, key := range keys {
		list[i].Key = key
	}
	return e.note(list...)
}

// note is underWay for objects: one with a publication ID is that version, else it is the key.
func (e *Engine) note(list ...journal.Object) (answered func(err error)) {
	ids := make([]string, len(list))
	for i, o := range list {
		ids[i] = strconv.FormatUint(e.requests.Add(1), 36)
		if err := e.journal.NoteRequest(ids[i], o); err != nil {
			e.log.Debug("cannot note a request", "key", o.Key, "err", err)
		}
	}
	return func(err error) {
		unheard := retryable(err) || errors.Is(err, context.Canceled)
		e.mu.Lock()
		for unheard && len(ids) > 0 {
			e.unheard, ids = append(e.unheard, unanswered{ids[0], time.Now().Add(lateLimit)}), ids[1:]
		}
		for len(e.unheard) > 0 && time.Now().After(e.unheard[0].until) {
			ids, e.unheard = append(ids, e.unheard[0].id), e.unheard[1:]
		}
		e.mu.Unlock()
		for _, id := range ids {
			if err := e.journal.NoteAnswered(id); err != nil {
				e.log.Debug("cannot note an answer", "err", err)
			}
		}
	}
}

// holdLate keeps everything away from the keys of requests of an earlier process that had no
// answer, until it is too late for them. What asks for such a key waits.
func (e *Engine) holdLate() {
	for _, o := range e.journal.Unanswered() {
		if o.Publication != "" {
			e.unheardOf(o.Key, o.Publication)
			continue
		}
		answered := e.underWay(o.Key) // also for the process after this one
		e.queue.add(time.Until(e.sureAt), func(t *ticket) {
			if rest := time.Until(e.sureAt); rest > 0 { // somebody is in a hurry
				e.queue.retry(t, rest)
				return
			}
			answered(nil)
			e.queue.done(t)
		}, o.Key)
	}
}

// expectLate notes what requests of an earlier process may still make of a record.
func (e *Engine) expectLate(r *journal.Record) {
	note := func(key string) {
		if key != "" && r.Publication != "" {
			e.late[journal.Object{Key: key, Publication: r.Publication}] = e.sureAt
		}
	}
	note(r.Key)
	note(uploadKey(r))
	for _, o := range r.Delete {
		if o.ETag == "" && o.Publication != "" {
			e.late[journal.Object{Key: o.Key, Publication: o.Publication}] = e.sureAt
		}
	}
}

// unheardOf notes that a publication had no answer: the bucket may carry it out yet, also
// when the file has another version, or when the next process runs.
func (e *Engine) unheardOf(key, publication string) {
	o := journal.Object{Key: key, Publication: publication}
	now := time.Now()
	e.mu.Lock()
	e.late[o], e.lateUntil = now.Add(lateLimit), now.Add(lateMemory)
	e.mu.Unlock()
	e.note(o)(context.Canceled) // there is no answer to wait for
}

// cameFrom notes that an object has come whose request had no answer.
func (e *Engine) cameFrom(key, publication string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := journal.Object{Key: key, Publication: publication}
	if _, ok := e.late[o]; ok {
		e.late[o] = time.Time{}
	}
}

// sentAgain notes that a publication was repeated, and has come. What an earlier request for it
// may still make has the precondition against it as long as the object is there.
func (e *Engine) sentAgain(key, etag, publication string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Now().Before(e.late[journal.Object{Key: key, Publication: publication}]) {
		e.repeated[journal.Object{Key: key, ETag: etag}] = publication
	}
}

// forgetLate ends the memory of requests without an answer when the last of them is long past.
// It stays until then also of what has come: a request may have been repeated, and what the
// other one makes when the object has gone is ours, too.
func (e *Engine) forgetLate() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.late) > 0 && time.Now().After(e.lateUntil) {
		clear(e.late)
		clear(e.repeated)
	}
}

// mayCome is those of the objects that requests without an answer may still make, by their
// publication IDs, and until when.
func (e *Engine) mayCome(list []journal.Object) (some []journal.Object, until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range list {
		if o.ETag != "" {
			o = journal.Object{Key: o.Key, Publication: e.repeated[journal.Object{Key: o.Key, ETag: o.ETag}]}
		}
		if at := e.late[o]; time.Now().Before(at) && !slices.Contains(some, o) {
			some = append(some, o)
			if at.After(until) {
				until = at
			}
		}
	}
	return some, until
}

// finish ends a deletion that was carried out. Objects that may still come are looked for
// again when it is too late for them; the journal keeps those.
func (e *Engine) finish(rec *journal.Record) {
	rest, until := e.mayCome(rec.Delete)
	if len(rest) == 0 {
		if err := e.apply(nil, rec.ID); err != nil {
			e.log.Warn("deleted, but the journal cannot note it yet", "err", err)
			e.removeLater(rec.ID)
		}
		return
	}
	again := journal.Record{ID: rec.ID, Seq: rec.Seq, NoContent: true, Late: true, Delete: rest}
	if err := e.apply([]journal.Record{again}); err != nil {
		e.log.Warn("deleted, but the journal cannot note it yet", "err", err)
	}
	e.mu.Lock()
	e.leaving[again.ID] = &again
	e.mu.Unlock()
	e.queue.wg.Go(func() {
		select {
		case <-time.After(time.Until(until)):
			e.deleteLater(&again, nil)
		case <-e.ctx.Done():
		}
	})
}

// deleteNoted is DeleteObject, which has no precondition.
func (e *Engine) deleteNoted(ctx context.Context, key string) error {
	answered := e.underWay(key)
	err := e.bucket.Delete(ctx, key)
	answered(err)
	return err
}

// copyNoted is CopyObject, whose target most stores do not guard.
func (e *Engine) copyNoted(ctx context.Context, src s3.Object, key string, props *s3.Properties, cond s3.Cond) (s3.Object, error) {
	if e.guard.get().Copies && cond != (s3.Cond{}) {
		return e.bucket.Copy(ctx, src, key, props, cond)
	}
	answered := e.underWay(key)
	o, err := e.bucket.Copy(ctx, src, key, props, cond)
	answered(err)
	return o, err
}

// unguarded notes a PutObject or CompleteMultipartUpload where the store ignores preconditions.
func (e *Engine) unguarded(key string, sent s3.Cond) (answered func(err error)) {
	if sent != (s3.Cond{}) {
		return func(error) {}
	}
	return e.underWay(key)
}
