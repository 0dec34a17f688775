package transfer

import (
	"maps"

	"s3mount/internal/sum"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// The checksums of a spool file go into its record, so that after a crash the
// bytes are known to be those that were closed. They are taken from the bytes as
// they are written where these come in order (partSums), else from the page cache
// when the record is written. A record with checksums seals its bytes: before a
// write changes any of them, the checksums are taken back.

// keptSums are the checksums of the data in each part that did not change since
// they were taken. Guarded by File.mu.
type keptSums map[int]sum.Sums

// forget drops those of parts that hold any byte of [from, to).
func (k keptSums) forget(l plan.Layout, from, to int64) {
	if len(k) == 0 || from >= to {
		return
	}
	first, last := l.At(from), l.At(to-1)
	maps.DeleteFunc(k, func(n int, _ sum.Sums) bool { return n >= first && n <= last })
}

// sumSpool takes the checksums for a record of the content, whose changes were at.
// It returns nil when the content changes meanwhile, or changes again and again.
func (f *File) sumSpool(c *content, rec *journal.Record, spool *journal.File, at uint64) (*journal.Sums, error) {
	layout := f.eng.layoutOf(c)
	parts := journal.DataParts(rec.Extents, layout)
	known := make(keptSums, len(parts))
	f.mu.Lock()
	skip := !c.frozen && c.rewritten || c.merging != ""
	for _, p := range parts {
		if sums, ok := c.kept[p.Number]; ok {
			known[p.Number] = sums
		} else if len(p.Ranges) == 1 {
			if sums, ok := c.sums.get(p.Number, p.Ranges[0].Off, p.Ranges[0].Len); ok {
				known[p.Number] = sums
			}
		}
	}
	f.mu.Unlock()
	if skip {
		return nil, nil
	}
	out := &journal.Sums{PartSize: layout.Fixed, Hint: layout.Hint}
	buf, put := pooled(1 << 20)
	defer put()
	for _, p := range parts {
		sums, ok := known[p.Number]
		if !ok {
			var err error
			if sums, err = p.Sum(spool, buf); err != nil {
				return nil, err
			}
			known[p.Number] = sums
		}
		out.Add(sums)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.changes != at || c.inflight > 0 {
		return nil, nil
	}
	c.kept, c.sealed = known, c.ext.Size()
	return out, nil
}

// unseal takes the checksums out of the content's record, since the bytes are
// about to change.
func (f *File) unseal(c *content) error {
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.Lock()
	if c.sealed == 0 || c.rec == nil {
		c.sealed = 0
		f.mu.Unlock()
		return nil
	}
	rec := *c.rec
	f.mu.Unlock()
	rec.Sums = nil
	if err := f.apply([]journal.Record{rec}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.rec, c.sealed, c.rewritten = &rec, 0, !c.frozen
	return nil
}

// recallSums takes over the checksums of a record.
func (c *content) recallSums(r *journal.Record, layout plan.Layout) {
	if r.Sums == nil || r.Sums.PartSize != layout.Fixed || r.Sums.Hint != layout.Hint {
		return
	}
	parts := journal.DataParts(r.Extents, layout)
	if !r.Sums.Cover(len(parts)) {
		return
	}
	c.kept, c.sealed = keptSums{}, c.ext.Size()
	for i, p := range parts {
		c.kept[p.Number] = r.Sums.At(i)
	}
}

// keptSum is the checksums of part n when all its bytes are data that a record has
// the checksum of. The caller holds File.mu, or is alone with a frozen content.
func (c *content) keptSum(n int, off, size int64) (sum.Sums, bool) {
	sums, ok := c.kept[n]
	if !ok {
		return sum.Sums{}, false
	}
	x := c.ext.Range(off, size)
	return sums, len(x) == 1 && x[0].Kind == plan.Data && x[0].Len == size
}
