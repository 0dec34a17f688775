package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// State is where an unpublished file is on its way into the bucket.
type State string

// The states, in the order in which a file goes through them. A file whose last try
// failed is StateRetrying when patience mends it, else StateFailed: that is tried
// again too, but somebody has to do something first.
const (
	StateWriting    State = "writing"    // it was written through a descriptor that is still open
	StateSettling   State = "settling"   // closed; the pause for late times and names
	StateQueued     State = "queued"     // waits for other files, or for a connection
	StateUploading  State = "uploading"  // requests are on their way
	StateCompleting State = "completing" // the request that makes it visible is on its way
	StateRetrying   State = "retrying"
	StateFailed     State = "failed"
)

// FileStatus is how far an unpublished file is.
type FileStatus struct {
	Key   string
	State State
	Open  bool  // a descriptor may still write
	Size  int64 // of the newest version, in bytes
	// Overflowed: parts of it have left the spool, so that its close waits for the bucket.
	Overflowed bool

	// Bytes that have to be sent for it, and those of them that the bucket has
	// acknowledged. What the server copies by itself counts for neither.
	Total, Done int64
	// Parts of the upload, copied ones too, and those that the bucket has
	// acknowledged; 0 of 0 before an upload has begun.
	Parts, PartsDone int

	Err     error     // of the last try
	NextTry time.Time // zero: now, or not known
}

// Left is the bytes that are still to be sent.
func (s *FileStatus) Left() int64 { return max(s.Total-s.Done, 0) }

// Status is every file with unpublished content, or that was written through a
// descriptor that is still open, whose key is top or below it, sorted by key; all of
// them with an empty top.
func (e *Engine) Status(top string) []FileStatus {
	e.mu.Lock()
	files := maps.Clone(e.dirty)
	maps.Copy(files, e.writing)
	e.mu.Unlock()
	var out []FileStatus
	for f := range files {
		f.mu.Lock()
		if f.key != "" && (len(f.chain) > 0 || f.written) && below(f.key, top) {
			out = append(out, f.status())
		}
		f.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b FileStatus) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// status describes an unpublished file. The caller holds f.mu.
func (f *File) status() FileStatus {
	s := FileStatus{Key: f.key, Open: f.writers > 0, Size: f.head().ext.Size(), Err: f.lastErr}
	for i, c := range f.chain {
		if i+1 < len(f.chain) && f.chain[i+1].base != c && c != f.publishing {
			continue // the next version has nothing of it: it will not be sent
		}
		c.count(&s)
		s.Overflowed = s.Overflowed || c.overflowed()
	}
	s.State, s.NextTry = f.state()
	return s
}

// count adds what has to be sent of a content, and what the bucket has of it.
func (c *content) count(s *FileStatus) {
	size := c.ext.Size()
	switch u := c.stream; {
	case u != nil:
		s.Parts += u.count(size)
		for n := 1; n <= u.count(size); n++ {
			span, _ := u.span(n, size)
			p := u.parts[n]
			acknowledged := p != nil && p.state == partSent && !p.dirty && p.size == span.Len
			if acknowledged {
				s.PartsDone++
			}
			if span.Copy {
				continue
			}
			if s.Total += span.Len; acknowledged {
				s.Done += span.Len
			}
		}
	case c.done != nil: // only a copy on the server is left
	case size <= streamFrom && !c.only(plan.Base):
		s.Total += size
	default:
		s.Total += size - c.ext.Bytes(plan.Base)
	}
}

// Uploads is every multipart upload that belongs to the engine, and the keys at which
// it is creating one whose ID it does not know yet.
func (e *Engine) Uploads() (all []journal.Upload, creating []string) {
	for _, f := range e.dirtyFiles() {
		f.mu.Lock()
		for _, c := range f.chain {
			switch s := c.stream; {
			case s != nil && s.id != "":
				all = append(all, journal.Upload{Key: s.key, ID: s.id})
			case s != nil:
				creating = append(creating, s.key)
			}
			if c.orphan != nil {
				all = append(all, journal.Upload{Key: c.orphan.Key, ID: c.orphan.ID})
			}
		}
		f.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, rec := range e.leaving {
		if rec.Upload != nil {
			all = append(all, journal.Upload{Key: rec.Upload.Key, ID: rec.Upload.ID})
		}
	}
	creating = slices.AppendSeq(creating, maps.Keys(e.creating))
	slices.Sort(creating)
	return all, slices.Compact(creating)
}

// creates notes that an upload is being made at a key, until end is called.
func (e *Engine) creates(key string) (end func()) {
	note := func(n int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.creating[key] += n; e.creating[key] == 0 {
			delete(e.creating, key)
		}
	}
	note(1)
	return func() { note(-1) }
}

// state tells what the file waits for, and until when. The caller holds f.mu.
func (f *File) state() (State, time.Time) {
	if c := f.head(); f.written || !c.frozen && !f.closed() {
		return StateWriting, time.Time{}
	}
	switch {
	case f.completing:
		return StateCompleting, time.Time{}
	case f.publishing != nil:
		return f.sending(f.publishing)
	case f.ticket == nil:
		return StateQueued, time.Time{}
	}
	due := f.eng.queue.due(f.ticket)
	switch waits := time.Now().Before(due); {
	case f.lastErr != nil && !mendable(f.lastErr):
		return StateFailed, due
	case f.lastErr != nil && waits:
		return StateRetrying, due
	case waits:
		return StateSettling, due
	}
	return StateQueued, time.Time{}
}

// sending tells whether any part of a content that is being published is on its
// way. The caller holds f.mu.
func (f *File) sending(c *content) (State, time.Time) {
	u := c.stream
	if u == nil {
		return StateUploading, time.Time{}
	}
	var queued bool
	var again time.Time
	for _, p := range u.parts {
		switch {
		case p.state == partSending:
			return StateUploading, time.Time{}
		case p.state != partQueued || p.rests:
		case !p.again.After(time.Now()):
			queued = true
		case again.IsZero() || p.again.Before(again):
			again = p.again
		}
	}
	switch {
	case queued:
		return StateQueued, time.Time{}
	case !again.IsZero():
		return StateRetrying, again
	}
	return StateUploading, time.Time{}
}

// noteWriter notes that the file is being written by somebody who has it open. The
// caller holds f.mu.
func (f *File) noteWriter() {
	if f.written || f.writers == 0 {
		return
	}
	f.written = true
	f.eng.mu.Lock()
	defer f.eng.mu.Unlock()
	f.eng.writing[f] = true
}

// endWriter notes that a descriptor was closed. The caller holds f.mu.
func (f *File) endWriter() {
	if !f.written || f.writers > 0 {
		return
	}
	f.written = false
	f.eng.mu.Lock()
	defer f.eng.mu.Unlock()
	delete(f.eng.writing, f)
}

// due is when a ticket may run.
func (q *queue) due(t *ticket) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return t.due
}

// Pending is the files whose closed content is not in the bucket yet.
func (e *Engine) Pending() []*File {
	return slices.DeleteFunc(e.dirtyFiles(), func(f *File) bool { return !f.pending() })
}

func (f *File) pending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key != "" && len(f.chain) > 0 && (f.chain[0].frozen || f.closed())
}

// anyPending tells whether Pending lists any. It mostly finds one among the first few.
func (e *Engine) anyPending() bool {
	var few []*File
	e.mu.Lock()
	for f := range e.dirty {
		if few = append(few, f); len(few) == 32 {
			break
		}
	}
	e.mu.Unlock()
	return slices.ContainsFunc(few, (*File).pending) || len(few) == 32 && len(e.Pending()) > 0
}

// closed tells whether the journal has the newest content as it is: every
// descriptor that wrote was closed or flushed. The caller holds f.mu.
func (f *File) closed() bool {
	c := f.head()
	return c.rec != nil && c.durable == c.changes && c.inflight == 0
}

// hasten ends the pause before the publication of what is closed, when its key is
// top or below it. It returns the generation to wait for; false where there is none.
func (f *File) hasten(top string) (gen uint64, ok bool) {
	f.mu.Lock()
	if f.key == "" || len(f.chain) == 0 || !below(f.key, top) {
		f.mu.Unlock()
		return 0, false
	}
	if f.closed() {
		f.freeze()
	}
	gen, ok = f.frozenGen, f.chain[0].frozen
	f.lastErr = nil // the next try tells
	f.mu.Unlock()
	f.enqueue(0)
	return gen, ok
}

// below tells whether key is top, or below it as a directory; all are below "".
func below(key, top string) bool {
	return top == "" || key == top || strings.HasPrefix(key, strings.TrimSuffix(top, "/")+"/")
}

// Wait returns when all that is closed now, with the key top or below it, is in the
// bucket. Failures that a retry will not mend end it.
func (e *Engine) Wait(ctx context.Context, top string) error {
	gens := map[*File]uint64{}
	for _, f := range e.dirtyFiles() {
		if gen, ok := f.hasten(top); ok {
			gens[f] = gen
		}
	}
	var failed error
	for f, gen := range gens {
		if err := f.waitFor(ctx, gen, 0); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%q: %w", f.Key(), err))
		}
	}
	return failed
}

// Retry begins at once what waits for its next try or for the end of a pause, with
// the key top or below it. It returns how many files that concerns.
func (e *Engine) Retry(top string) int {
	n := 0
	for _, f := range e.dirtyFiles() {
		again := false
		f.mu.Lock()
		if below(f.key, top) {
			f.failures = 0
			again = f.retryParts()
		}
		f.mu.Unlock()
		if _, ok := f.hasten(top); ok || again {
			n++
		}
	}
	e.queue.hastenBelow(top)
	return n
}

// retryParts sends now what waits for its next try, and tells whether anything does.
// The caller holds f.mu.
func (f *File) retryParts() (any bool) {
	for _, c := range f.chain {
		if c.stream == nil {
			continue
		}
		for _, p := range c.stream.parts {
			if p.timer != nil && p.timer.Stop() {
				p.misses, any = 0, true
				p.timer.Reset(0)
			}
		}
	}
	return any
}

// hastenBelow makes everything due that waits for its turn at a key below top:
// deletions too.
func (q *queue) hastenBelow(top string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, list := range q.byKey {
		if !below(key, top) {
			continue
		}
		for _, t := range slices.Clone(list) {
			if !t.running && t.run != nil {
				q.schedule(t, 0)
			}
		}
	}
}
