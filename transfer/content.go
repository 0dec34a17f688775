package transfer

import (
	"slices"
	"sync"

	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// content is one version of a file's bytes. Data extents lie in its spool file;
// Base extents are the bytes of an older content at the same offsets, or, once it
// is published, of its own object.
//
// A content is open (written in place), then frozen by a close or a sync, then
// published. What is frozen never changes again: later writes make a new content
// on top of it. Fields are guarded by File.mu but for those of the upload, which
// only the publisher touches while the content is frozen.
type content struct {
	id     string
	ext    plan.Extents
	spool  *journal.File // nil: no local bytes
	base   *content      // what Base extents refer to; nil when published or without any
	remote *Remote       // the object of a published content
	reader *Reader       // on remote, made by the first read

	frozen   bool
	early    bool   // it copies from another file, and its seq is from before its freeze
	spooling bool   // the spool file is being made
	inflight int    // writes on their way into the spool
	hint     int64  // size that was announced before the first byte
	hurried  bool   // it uploads while it grows, whatever its name: the spool was full
	changes  uint64 // counts changes of bytes or size
	durable  uint64 // value of changes that the journal has; 0: no record
	gen      uint64 // File.frozenGen of its freeze
	meta     Meta   // as of the freeze
	seq      uint64

	stream *upload // multipart upload, nil when there is none
	sums   partSums

	kept      keptSums // checksums of the data in the spool file, as far as they are known
	sealed    int64    // a record has the checksums of the bytes below; 0: none
	rewritten bool     // bytes changed after a record: no checksums until the freeze

	intent  string           // the key of an upload that is being created; each record says it
	born    string           // publication ID
	was     []journal.Object // what an earlier process may have sent before something was folded into it
	rec     *journal.Record  // as the journal has it, nil: it has none
	folded  []string         // records that go when the next one of it is written
	merging string           // the content whose changes are being written into this one's spool file
	done    *s3.Object       // a completed upload of it that still lacks its name or metadata
	copied  source           // what the object was copied from
	tried   bool             // a request that may have published it had no clear answer
	at      string           // the key of that request
	orphan  *journal.Upload  // upload of an earlier process
}

// publishedContent makes the content of a file that is as the bucket has it.
func publishedContent(o s3.Object) *content {
	return &content{
		id: o.ETag, ext: plan.NewExtents(o.Size, plan.Base),
		remote: NewRemote(ContentIDOf(o), o), frozen: true,
	}
}

// derived makes an open content that has, so far, the bytes of base.
func derived(base *content) *content {
	return &content{id: journal.NewID(), ext: plan.NewExtents(base.ext.Size(), plan.Base), base: base, born: journal.NewID()}
}

// baseObject is the object that Base extents come from, nil when it is not in the
// bucket yet.
func (c *content) baseObject() *s3.Object {
	if c.base == nil || c.base.remote == nil {
		return nil
	}
	o := c.base.remote.Object()
	return &o
}

// edited is the version that publishing the content at key has replaced, or deletes with what
// is gone, where it took bytes over from that; nil: none. The caller holds File.mu.
func (c *content) edited(key string, gone []journal.Object) *Remote {
	base := c.baseObject()
	if base == nil || base.Key != key && !slices.ContainsFunc(gone, func(o journal.Object) bool { return o.Key == base.Key }) {
		return nil
	}
	return c.base.remote
}

// segment is a run of bytes of one place.
type segment struct {
	off, n int64
	spool  *journal.File // bytes of this spool file, referenced; or
	remote *content      // bytes of this content's object; or
	sent   bool          // bytes of an unfinished upload; none of these: zeros
}

// resolve lists where the bytes of [off, off+n) are. The caller holds File.mu, and
// calls Unref on the spool files.
func (c *content) resolve(off, n int64, out []segment) []segment {
	for _, x := range c.ext.Range(off, n) {
		switch {
		case x.Kind == plan.Data:
			c.spool.Ref()
			out = append(out, segment{off: x.Off, n: x.Len, spool: c.spool})
		case x.Kind == plan.Base && c.remote != nil:
			out = append(out, segment{off: x.Off, n: x.Len, remote: c})
		case x.Kind == plan.Base && c.base != nil:
			out = c.base.resolve(x.Off, x.Len, out)
		case x.Kind == plan.Sent:
			out = append(out, segment{off: x.Off, n: x.Len, sent: true})
		default:
			out = append(out, segment{off: x.Off, n: x.Len})
		}
	}
	return out
}

// scratch tells whether no byte comes from an older version.
func (c *content) scratch() bool { return c.base == nil && c.remote == nil }

// dropLocal gives up the spool file; what was published is read from the bucket.
func (c *content) dropLocal() {
	if c.spool == nil {
		return
	}
	c.ext = plan.NewExtents(c.ext.Size(), plan.Base)
	c.spool.Remove() // an error leaves a file that the next start discards
	c.spool.Unref()
	c.spool = nil
}

// copyOf reads a published content from its spool file, while that is there. ext is what was
// sent of it. A block of which some bytes were taken over from base is put together; what
// was taken over whole, and holes, are left out.
func (f *File) copyOf(c *content, ext plan.Extents, base *Remote) spoolCopy {
	return func(p []byte, off int64) bool {
		n := int64(len(p))
		data, taken := ext.Has(off, n, plan.Data), ext.Has(off, n, plan.Base)
		if !data || ext.Has(off, n, plan.Hole) || taken && base == nil {
			return false
		}
		f.mu.Lock()
		s := c.spool
		if s == nil {
			f.mu.Unlock()
			return false
		}
		s.Ref()
		f.mu.Unlock()
		defer s.Unref()
		if !taken {
			return s.ReadBlock(p, off) == nil
		}
		if !f.eng.fetcher.heldBlock(base, p[:min(base.Object().Size-off, mem.BlockSize)], off) {
			return false
		}
		for _, x := range ext.Range(off, n) {
			if x.Kind != plan.Data {
				continue
			}
			if _, err := s.ReadAt(p[x.Off-off:][:x.Len], x.Off); err != nil {
				return false
			}
		}
		return true
	}
}

// close ends the use of the content's reader and spool file.
func (c *content) close() {
	if c.reader != nil {
		c.reader.Close()
		c.reader = nil
	}
	if c.spool != nil {
		c.spool.Remove()
		c.spool.Unref()
		c.spool = nil
	}
}

// bufPool holds buffers for replies that are put together from several places.
var bufPool = sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}

func pooled(n int) (buf []byte, put func()) {
	b := bufPool.Get().(*[]byte)
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	return (*b)[:n], func() { bufPool.Put(b) }
}
