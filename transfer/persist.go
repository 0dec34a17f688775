package transfer

import (
	"errors"
	"slices"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// persist brings the spool file and the record to the disk. The first record of a
// content goes there side by side with its bytes when it has their checksums: after
// a power loss in between, these tell that the bytes are not all there. Few bytes go
// into the journal with it, and the spool file is left to the kernel. It is unreferenced.
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
	switch {
	case first && rec.Sums != nil && isSmall(rec):
		rec.Bytes = spool
		err = apply()
		rec.Bytes = nil
		f.mu.Lock()
		c.logged = err == nil && c.changes == at
		f.mu.Unlock()
		return err
	case rec.Sums != nil && f.logged(c):
		return apply()
	case !first || rec.Sums == nil:
		if err := f.syncSpool(c, spool); err != nil {
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

// isSmall tells whether the spool file has all of the content, and the journal takes that.
func isSmall(rec *journal.Record) bool {
	x := rec.Extents
	return len(x) == 1 && x[0].Kind == plan.Data && x[0].Len <= journal.SmallContent
}

// logged tells whether the journal has the content's bytes as they are, beside its record.
func (f *File) logged(c *content) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.logged && c.rec != nil
}

// syncLogged makes the spool file durable whose bytes the journal has: these count only as
// long as the record has their checksums, which are about to go.
func (f *File) syncLogged(c *content) error {
	f.mu.Lock()
	spool := c.spool
	if !c.logged || spool == nil {
		f.mu.Unlock()
		return nil
	}
	spool.Ref()
	f.mu.Unlock()
	defer spool.Unref()
	return f.syncSpool(c, spool)
}

// syncChain is syncLogged of all unpublished contents, whose records are written anew.
func (f *File) syncChain() error {
	f.mu.Lock()
	chain := slices.Clone(f.chain)
	f.mu.Unlock()
	var err error
	for _, c := range chain {
		err = errors.Join(err, f.syncLogged(c))
	}
	return err
}

// syncSpool makes the spool file durable by itself. Where that fails, what the journal has
// goes on to count.
func (f *File) syncSpool(c *content, spool *journal.File) error {
	if err := spool.Sync(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.logged = false
	return nil
}
