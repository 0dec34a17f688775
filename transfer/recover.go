package transfer

import (
	"errors"
	"fmt"
	"slices"
	"sort"

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
}

// Recover reads the journal and takes up what is in it. Start has to follow, once
// the one who observes knows what was recovered.
func (e *Engine) Recover() (Recovered, error) {
	var out Recovered
	records, err := e.journal.Records()
	if err != nil {
		return out, err
	}
	known := map[string]bool{}
	byID := map[string]*journal.Record{}
	follower := map[string]bool{} // records that another one builds on
	for i := range records {
		r := &records[i]
		e.seq.Store(max(e.seq.Load(), r.Seq))
		if !r.Open {
			known[r.ID], byID[r.ID] = true, r
			follower[r.BaseID] = true
		}
	}
	for i := range records {
		r := &records[i]
		switch {
		case r.Open:
			err = errors.Join(err, e.dropUnfinished(r))
		case r.NoContent:
			out.Doomed = append(out.Doomed, r.Delete...)
			e.recovered = append(e.recovered, func() { e.deleteLater(r) })
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

// Start begins to publish and delete what Recover found, in the order in which it
// was asked for.
func (e *Engine) Start() {
	for _, begin := range e.recovered {
		begin()
	}
	e.recovered = nil
}

// dropUnfinished forgets a file that was never closed, and its upload.
func (e *Engine) dropUnfinished(r *journal.Record) error {
	if r.Upload != nil {
		e.queue.wg.Go(func() { e.abort(r.Upload.Key, r.Upload.ID) })
	}
	return e.journal.Apply(nil, r.ID)
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
	f.meta, f.moved = last.Meta, last.Delete
	if last.Replaces != "" {
		f.object = &s3.Object{Key: last.Key, ETag: last.Replaces}
	}
	var line []*journal.Record // oldest first
	for r := last; r != nil; r = byID[r.BaseID] {
		line = append([]*journal.Record{r}, line...)
	}
	var below *content
	for _, r := range line {
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
	e.recovered = append(e.recovered, func() { f.enqueue(0) })
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
		at: r.Key, tried: true, // the earlier process may have ended between the request and its answer
	}
	switch {
	case ext.Bytes(plan.Base) == 0: // it only follows that version
	case r.Base != nil:
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
	return c, nil
}
