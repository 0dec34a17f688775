package transfer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// Recovered is what an earlier process left.
type Recovered struct {
	// Files were closed and are being published now.
	Files []*File
	// Unfinished are the keys of files that were being written and never closed:
	// their bytes are gone.
	Unfinished []string
	// Doomed are objects that are being deleted.
	Doomed []journal.Object
	// Damaged are closed versions whose bytes the crash of the machine damaged. They
	// were set aside and are not published.
	Damaged []Damaged
}

// Damaged is a version that was set aside.
type Damaged struct {
	Key  string
	Path string // of the bytes; beside it is the record, with the ending .json
	Err  error  // what is wrong
}

// Recover reads the journal and takes up what is in it. Start has to follow, once
// the one who observes knows what was recovered.
func (e *Engine) Recover() (Recovered, error) {
	var out Recovered
	records, err := e.journal.Records()
	if err != nil {
		return out, err
	}
	e.sureAt, e.lateUntil = time.Now().Add(lateLimit), time.Now().Add(lateMemory)
	for i := range records {
		r := &records[i]
		e.expectLate(r)
		e.seq.Store(max(e.seq.Load(), r.Seq))
		if r.Creating != "" && r.NoContent {
			e.lost[r.Creating] = lostUpload{r.ID, time.Now()}
		}
	}
	if records, err = e.verify(records, &out); err != nil {
		return out, err
	}
	if records, err = e.recoverRenames(records, &out); err != nil {
		return out, err
	}
	if records, err = e.recoverMoves(records); err != nil {
		return out, err
	}
	known := map[string]bool{}
	byID := map[string]*journal.Record{}
	follower := map[string]bool{} // records that another one builds on
	for i := range records {
		r := &records[i]
		if !r.Open && !r.NoContent {
			known[r.ID], byID[r.ID] = true, r
			follower[r.BaseID] = true
		}
	}
	for i := range records {
		r := &records[i]
		if r.Creating != "" && !r.NoContent {
			err = errors.Join(err, e.noteLost(r.Creating))
		}
		switch {
		case r.Open:
			err = errors.Join(err, e.dropUnfinished(r))
		case r.Creating != "" && r.NoContent:
		case r.Rename != nil: // see recoverRenames
		case r.NoContent:
			if !r.Late { // else something else may have the name by now
				out.Doomed = append(out.Doomed, r.Delete...)
			}
			e.leaving[r.ID] = r // before the first file is published
			e.recovered = append(e.recovered, recovered{r.Seq, func() { e.deleteLater(r, nil) }})
		case !follower[r.ID]:
			f, ferr := e.recoverFile(r, byID)
			if ferr != nil {
				err = errors.Join(err, fmt.Errorf("unpublished file %q: %w", r.Key, ferr))
				continue
			}
			out.Files = append(out.Files, f)
		}
	}
	unfinished, uerr := e.discardUnknown(known)
	for _, r := range records {
		if r.Open {
			unfinished[r.ID] = r.Key
		}
	}
	for _, key := range unfinished {
		out.Unfinished = append(out.Unfinished, key)
	}
	sort.Strings(out.Unfinished)
	return out, errors.Join(err, uerr)
}

// verify sets aside what a crash damaged, and what builds on it, and returns the
// rest. After a clean end bytes are not read, only looked for.
func (e *Engine) verify(records []journal.Record, out *Recovered) ([]journal.Record, error) {
	bad, there := map[string]error{}, map[string]bool{}
	var good []journal.Record
	for i := range records { // in order: what a record builds on comes before it
		r := &records[i]
		there[r.ID] = !r.Open
		var err error
		ext, extErr := plan.FromList(r.Extents)
		switch {
		case r.Open || r.NoContent:
		case extErr != nil:
			err = fmt.Errorf("%w: %w", journal.ErrDamaged, extErr)
		case r.Base == nil && bad[r.BaseID] != nil && ext.Bytes(plan.Base) > 0:
			err = fmt.Errorf("it builds on a version that is damaged: %w", bad[r.BaseID])
		case r.Base == nil && !there[r.BaseID] && ext.Bytes(plan.Base) > 0:
			err = fmt.Errorf("%w: the journal lacks the version %q that it builds on", journal.ErrDamaged, r.BaseID)
		case e.journal.Clean():
			whole := *r
			whole.Sums = nil
			err = e.journal.Verify(&whole)
		default:
			err = e.journal.Verify(r)
		}
		if err == nil {
			good = append(good, *r)
			continue
		}
		bad[r.ID] = err
		if err := e.setAside(r, err, out); err != nil {
			return nil, err
		}
	}
	var whole []journal.Record
	for i := range good {
		r := &good[i]
		if r.Merging == "" || there[r.Merging] && bad[r.Merging] == nil {
			whole = append(whole, *r)
			continue
		}
		err := fmt.Errorf("%w: it was being merged with the version %q, which is not there", journal.ErrDamaged, r.Merging)
		if err := e.setAside(r, err, out); err != nil {
			return nil, err
		}
	}
	e.journal.Verified()
	return whole, nil
}

// setAside takes a damaged version out of the journal. Its upload stays, which may have the
// bytes as they were: it is listed.
func (e *Engine) setAside(r *journal.Record, why error, out *Recovered) error {
	for _, key := range []string{r.Creating, uploadKey(r)} {
		if key == "" {
			continue
		}
		if err := e.noteLost(key); err != nil {
			return err
		}
	}
	path, err := e.journal.SetAside(r)
	if err != nil {
		return fmt.Errorf("set aside %q: %w", r.Key, err)
	}
	out.Damaged = append(out.Damaged, Damaged{Key: r.Key, Path: path, Err: why})
	return nil
}

// uploadKey is where a record has an upload; empty: it has none.
func uploadKey(r *journal.Record) string {
	if r.Upload == nil {
		return ""
	}
	return r.Upload.Key
}

// recovered is an operation that waits for Start. A file has the place of its oldest
// version: others may wait for that to leave their name.
type recovered struct {
	seq   uint64
	begin func()
}

// Start begins to publish and delete what Recover found, in the order in which it
// was asked for.
func (e *Engine) Start() {
	e.holdLate()
	slices.SortStableFunc(e.recovered, func(a, b recovered) int { return cmp.Compare(a.seq, b.seq) })
	for _, r := range e.recovered {
		r.begin()
	}
	e.recovered = nil
	if err := e.journal.TakenUp(); err != nil {
		e.log.Debug("cannot forget what the last process noted", "err", err)
	}
	e.guard.resume(e)
}

// dropUnfinished forgets a file that was never closed, and its upload.
func (e *Engine) dropUnfinished(r *journal.Record) error {
	if r.Upload == nil {
		return e.apply(nil, r.ID)
	}
	rest := journal.Record{ID: r.ID, Seq: r.Seq, NoContent: true, Upload: r.Upload}
	e.recovered = append(e.recovered, recovered{r.Seq, func() { e.deleteLater(&rest, nil) }})
	return e.apply([]journal.Record{rest})
}

// discardUnknown removes spool files that no record speaks of, and returns the
// names of those that were being written.
func (e *Engine) discardUnknown(known map[string]bool) (map[string]string, error) {
	names := map[string]string{}
	open := e.journal.Unfinished()
	for id, key := range open {
		if !known[id] {
			names[id] = key
		}
	}
	ids, err := e.journal.Spool.IDs()
	for _, id := range ids {
		if !known[id] {
			err = errors.Join(err, e.journal.Spool.Discard(id))
		}
	}
	return names, err
}

// recoverFile makes a File of a record and those it builds on.
func (e *Engine) recoverFile(last *journal.Record, byID map[string]*journal.Record) (*File, error) {
	f := e.newFile(last.Key)
	f.meta, f.moved = last.Meta, slices.Clone(last.Delete)
	if last.Replaces != "" {
		f.object = &s3.Object{Key: last.Key, ETag: last.Replaces}
	}
	var line []*journal.Record // oldest first
	for r := last; r != nil; r = byID[r.BaseID] {
		line = append([]*journal.Record{r}, line...)
	}
	var below *content
	for _, r := range line {
		for _, o := range r.Delete { // what an older version left behind may be known to it alone
			if o.Key != f.key && !slices.Contains(f.moved, o) {
				f.moved = append(f.moved, o)
			}
		}
		c, err := e.recoverContent(r, below)
		if err != nil {
			return nil, err
		}
		f.mayBeAt(r.Key, r.Publication)
		if r.Upload != nil {
			f.mayBeAt(r.Upload.Key, r.Publication)
		}
		f.frozenGen++
		c.gen = f.frozenGen
		f.chain = append(f.chain, c)
		below = c
	}
	e.dirtyAdd(f)
	e.recovered = append(e.recovered, recovered{line[0].Seq, func() { f.enqueue(0) }})
	return f, nil
}

// mayBeAt notes that the content with that publication ID may have been published
// under another key than the present one. The caller holds f.mu.
func (f *File) mayBeAt(key, publication string) {
	o := journal.Object{Key: key, Publication: publication}
	if key != "" && key != f.key && !slices.Contains(f.moved, o) {
		f.moved = append(f.moved, o)
	}
}

func (e *Engine) recoverContent(r *journal.Record, below *content) (*content, error) {
	ext, err := plan.FromList(r.Extents)
	if err != nil {
		return nil, err
	}
	c := &content{
		id: r.ID, ext: ext, frozen: true, changes: 1, durable: 1, meta: r.Meta, seq: r.Seq,
		born: r.Publication, rec: r, orphan: r.Upload,
		at: r.Key, merging: r.Merging,
		tried: r.Merging == "", // the earlier process may have ended between the request and its answer
	}
	if r.Upload != nil {
		c.at = r.Upload.Key
	}
	if o := r.Done; o != nil {
		c.done = &s3.Object{Key: o.Key, ETag: o.ETag, VersionID: o.VersionID, Size: o.Size}
	}
	switch {
	case ext.Bytes(plan.Base) == 0: // it only follows that version
	case r.Base != nil:
		c.early = r.Base.Key != r.Key && !slices.ContainsFunc(r.Delete, func(o journal.Object) bool { return o.Key == r.Base.Key })
		c.base = publishedContent(s3.Object{Key: r.Base.Key, ETag: r.Base.ETag, VersionID: r.Base.VersionID, Size: r.Base.Size})
	case below == nil:
		return nil, fmt.Errorf("the journal lacks the version %q that it builds on", r.BaseID)
	default:
		c.base = below
	}
	if c.spool, err = e.journal.Spool.Open(r.ID); err != nil {
		c.spool = nil
		if ext.Bytes(plan.Data) > 0 {
			return nil, err
		}
	}
	if r.Sums != nil {
		c.hint = r.Sums.Hint
	}
	c.recallSums(r, e.layoutOf(c))
	return c, nil
}
