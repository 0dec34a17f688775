package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// ambiguous finds out whether a request that failed has published the content all
// the same: a lost answer, or a repetition that met its own first try.
func (f *File) ambiguous(ctx context.Context, c *content, key string, failed error) (s3.Object, error) {
	o, ok, err := f.isPublished(ctx, c, key)
	if ok && carries(&o, Properties(&c.meta, key, c.born)) && c.stream == nil {
		return o, nil
	}
	if ok { // perhaps by a request of an earlier process, of another upload
		return s3.Object{}, errRenewed
	}
	if err != nil || s3.Retryable(failed) {
		f.eng.unheardOf(key, c.born)
		return s3.Object{}, failed
	}
	f.mu.Lock()
	c.tried = false // a clear no
	f.mu.Unlock()
	return s3.Object{}, failed
}

// isPublished asks the bucket whether the object at key is this content.
func (f *File) isPublished(ctx context.Context, c *content, key string) (o s3.Object, ok bool, err error) {
	o, err = f.eng.bucket.Head(ctx, key)
	if errors.Is(err, s3.ErrNotFound) {
		return o, false, nil
	}
	if ok = err == nil && o.Props.Meta[metaPublication] == c.born; ok {
		f.eng.cameFrom(key, c.born)
	}
	return o, ok, err
}

// triedAt is the keys but that one at which a request may have published the content.
func (f *File) triedAt(c *content, key string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []string
	note := func(k string) {
		if k != "" && k != key && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	note(c.at)
	for _, o := range f.moved {
		if o.Publication == c.born {
			note(o.Key)
		}
	}
	return keys
}

// errRenewed: the precondition is another one now, the next try may succeed.
var errRenewed = errors.New("the object at the key is another one now")

// afterFailure prepares the next try where that needs more than patience.
func (f *File) afterFailure(ctx context.Context, c *content, key string, err error) error {
	f.mu.Lock()
	s := c.stream
	moved := s != nil && s.key != key && errors.Is(err, s3.ErrPrecondition) // its own key has another object now
	only := moved && c.overflowed()                                         // nobody else has its bytes
	lost := s != nil && (errors.Is(err, s3.ErrNoUpload) || s.err != nil && !passing(s.err)) || moved && !only
	if lost {
		f.abandon(c) // its bytes are in the spool: the next try begins anew, unless it is published
	} else if s != nil {
		s.err = nil // the next try goes on with it
	}
	f.mu.Unlock()
	switch {
	case errors.Is(err, errRenewed):
		return err
	case errors.Is(err, ErrConflict): // bytes of the base could not be fetched
		return f.rescue(ctx, c, err)
	case only:
		return f.keepAtFormerName(ctx, c, s)
	case moved:
		return errRenewed
	case lost && (errors.Is(err, s3.ErrPrecondition) || errors.Is(err, s3.ErrNotFound)): // of a copied part
		return f.rescue(ctx, c, err)
	case errors.Is(err, s3.ErrPrecondition):
		return f.keepBoth(ctx, c, key)
	}
	return err
}

// passing tells whether what a part failed with says nothing about its upload: who asks
// may not write at present, or the disk here could not be read.
func passing(err error) bool {
	var answer *s3.Error
	for _, kind := range []error{s3.ErrDenied, s3.ErrCredentials, s3.ErrClockSkew, s3.ErrWrongRegion, s3.ErrNoBucket} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return !errors.As(err, &answer) && !errors.Is(err, ErrUploadLost)
}

// sourceGone is called when a copy failed because of its source, or because of what
// is at key.
func (f *File) sourceGone(ctx context.Context, c *content, base *s3.Object, key string, failed error) (s3.Object, error) {
	now, err := f.eng.bucket.Head(ctx, base.Key)
	if err != nil && !errors.Is(err, s3.ErrNotFound) {
		return s3.Object{}, err
	}
	switch {
	case err == nil && now.ETag == base.ETag:
		return s3.Object{}, failed // the source is as it was
	case base == c.done: // the bytes are still in the spool
		f.mu.Lock()
		c.done = nil
		f.mu.Unlock()
		return s3.Object{}, errRenewed
	case err == nil && base.Key == key && f.takeTheirs(c, &now): // nothing but attributes were changed here
		f.eng.log.Warn("another client wrote the file anew: a change of its attributes is dropped", "key", key)
		return now, nil
	}
	return s3.Object{}, fmt.Errorf("%w: %w", ErrConflict, failed)
}

// takeTheirs makes the version of another client that of the content, unless something
// builds on the bytes that it had.
func (f *File) takeTheirs(c *content, theirs *s3.Object) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.chain) > 1 {
		return false
	}
	c.ext, c.meta = plan.NewExtents(theirs.Size, plan.Base), ReadMeta(theirs, c.meta)
	f.meta = c.meta
	return true
}

// carries tells whether an object has all that p says.
func carries(o *s3.Object, p s3.Properties) bool {
	for k, v := range p.Meta {
		if o.Props.Meta[k] != v {
			return false
		}
	}
	return o.Props.ContentType == p.ContentType
}

// published makes the content the file's clean version.
func (f *File) published(ctx context.Context, c *content, key string, o s3.Object) error {
	f.mu.Lock()
	o.Key, o.Size = key, c.ext.Size()
	sent := Properties(&c.meta, key, c.born)
	sent.SSE, sent.SSEKMSKey, sent.BucketKey = o.Props.SSE, o.Props.SSEKMSKey, o.Props.BucketKey
	o.Props, o.HasProps = sent, true
	var gone []journal.Object
	place := f.ticket
	if f.key == key || f.key == "" {
		gone = slices.Clone(f.moved) // a rename may change the list meanwhile
	} else if i := slices.Index(f.moved, journal.Object{Key: key, Publication: c.born}); i >= 0 {
		f.moved = slices.Clone(f.moved)
		f.moved[i] = versionOf(&o, key) // a rename back replaces just that
	}
	base, ext := c.edited(key, gone), c.ext.Clone()
	f.mu.Unlock()
	if f.eng.opts.Published != nil {
		f.eng.opts.Published(f, o, gone)
	}
	var put []journal.Record
	if len(gone) > 0 {
		put = []journal.Record{{ID: journal.NewID(), Seq: c.seq, NoContent: true, Delete: gone}}
	}
	f.eng.sentAgain(key, o.ETag, c.born)
	f.eng.forgetLate()
	f.saving.Lock() // until the later versions know their base: none is saved with the old one
	err := f.apply(append(put, f.rebased(c, key, o, gone)...), c.id)
	f.become(c, key, o, gone)
	if err != nil {
		f.mu.Lock()
		f.stale = append(append(f.stale, c.folded...), c.id)
		f.mu.Unlock()
		err = fmt.Errorf("it is in the bucket, but the journal cannot note it: %w", err)
	}
	f.saving.Unlock()
	if base != nil {
		f.eng.fetcher.Inherit(c.remote, base, &ext)
	}
	f.eng.keepLocal(f, c, ext, base)
	if len(put) > 0 {
		f.eng.deleteNow(ctx, &put[0], c.copied, place)
	}
	return err
}

// dropStale removes records of published contents that the journal could not remove
// then. Nothing newer may be published before: after a crash the next process would
// take what such a record says for the newest version.
func (f *File) dropStale() error {
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.Lock()
	stale := f.stale
	var put []journal.Record // what builds on them
	for _, x := range f.chain {
		if x.rec != nil {
			put = append(put, *x.rec)
		}
	}
	f.mu.Unlock()
	if len(stale) == 0 {
		return nil
	}
	if err := f.apply(put, stale...); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stale = nil
	return nil
}

// rebased is the records of the later versions, which now build on the object o.
func (f *File) rebased(c *content, key string, o s3.Object, gone []journal.Object) []journal.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []journal.Record
	for _, x := range f.chain[1:] {
		if x.rec == nil {
			continue
		}
		r := *x.rec
		if r.BaseID == c.id {
			if r.BaseID = ""; r.Base == nil {
				r.Base = &journal.Object{Key: key, ETag: o.ETag, VersionID: o.VersionID, Size: o.Size}
			}
		}
		r.Delete = without(f.moved, gone)
		if f.key == key {
			r.Replaces = o.ETag
		}
		r.Upload = follows(r.Upload, key, o)
		x.rec = &r
		out = append(out, r)
	}
	return out
}

// follows is an upload at the key that now has the object o, which it is to replace.
func follows(u *journal.Upload, key string, o s3.Object) *journal.Upload {
	if u == nil || u.Key != key {
		return u
	}
	now := *u
	now.Replaces = o.ETag
	return &now
}

// without is the objects of a list that are not among those that go.
func without(list, gone []journal.Object) []journal.Object {
	return slices.DeleteFunc(slices.Clone(list), func(o journal.Object) bool { return slices.Contains(gone, o) })
}

// become moves the content from the chain to the clean version. gone are the objects
// under former names that are being deleted.
func (f *File) become(c *content, key string, o s3.Object, gone []journal.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retire(f.clean)
	if c.base != f.clean {
		f.retire(c.base)
	}
	c.remote = NewRemote(ContentIDOf(o), o)
	c.endStream()
	c.base, c.done = nil, nil
	if c.overflowed() {
		c.dropLocal()
	}
	f.chain, f.clean = f.chain[1:], c
	for _, x := range f.chain {
		if s := x.stream; s != nil && s.key == key {
			s.replaces = &o
		}
		x.orphan = follows(x.orphan, key, o)
	}
	f.doneGen, f.lastErr, f.failures = c.gen, nil, 0
	f.moved = without(f.moved, gone)
	if f.key == key || f.key == "" {
		f.object = &o
	} // else it goes with what Rename noted
}

// retire gives up a version that another one has replaced in the bucket. Its reader may be in
// use until the last descriptor goes. The caller holds f.mu.
func (f *File) retire(c *content) {
	if c == nil {
		return
	}
	if c.spool != nil {
		c.dropLocal()
		f.eng.mu.Lock()
		f.eng.local = slices.DeleteFunc(f.eng.local, func(x localCopy) bool { return x.c == c })
		f.eng.mu.Unlock()
	}
	if c.reader != nil {
		f.retired = append(f.retired, c)
	}
}
