package transfer

import (
	"context"
	"errors"
	"io"
	"sync"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

var (
	// ErrSpoolFull: the disk space for unpublished bytes is used up.
	ErrSpoolFull = journal.ErrSpoolFull
	// ErrTooBig: the file would be larger than an object can be.
	ErrTooBig = errors.New("larger than an object can be")
	// ErrConflict: the version that was edited is gone from the bucket.
	ErrConflict = errors.New("the edited version was changed by another client")
)

// ObjectRef names one version of an object.
type ObjectRef = journal.Object

// File is one file that is in use: open, being written, or waiting to be
// published. It is the same file under whatever name it is moved to.
//
// Lock order: names' locks, then File.saving, Engine.pairing, File.mu, and last the locks of queue,
// sender and Engine. Only saving is held while the disk works.
type File struct {
	eng *Engine

	saving sync.Mutex // one journal write of the file at a time; taken before mu

	mu   sync.Mutex
	cond *sync.Cond // on mu: writes done, published, failed

	key    string     // "" after unlink
	object *s3.Object // what the bucket holds under key as far as we know
	clean  *content   // the published version, nil for a new file
	chain  []*content // unpublished versions, oldest first; the last may be open
	meta   Meta
	timed  bool // the modification time was set explicitly after the last write

	handles, writers int
	written          bool             // through a descriptor that is still open
	overflows        int              // counts what left the spool
	doomed           *journal.Record  // objects to delete when the last descriptor goes
	retired          []*content       // former versions that a read may still use
	moved            []journal.Object // objects under former names, to delete after publication

	stale              []string           // records of what is published, which the journal could not remove
	notes              []journal.Record   // that stand for uploads which were given up; they go with the next transaction
	forgotten          bool               // nobody can open it any more
	cancelled          bool               // its publication was given up
	publishing         *content           // on its way into the bucket
	sentTo             string             // the key to which it is on its way; empty: not known yet
	paused             bool               // no new publication may begin
	parked             bool               // one was to begin while paused
	completing         bool               // the request that makes it visible is on its way
	cancel             context.CancelFunc // ends the publication
	lingers            bool               // the ticket waits for more ranges of a copy
	ticket             *ticket            // its place in the queues, while something is unpublished and frozen
	frozenGen, doneGen uint64
	waiters            int // syncs that wait for a publication
	lastErr            error
	failures           int
}

func (e *Engine) newFile(key string) *File {
	f := &File{eng: e, key: key}
	f.cond = sync.NewCond(&f.mu)
	return f
}

// Open makes a File of an object in the bucket. meta is what it carries.
func (e *Engine) Open(o s3.Object, meta Meta) *File {
	f := e.newFile(o.Key)
	f.object, f.clean, f.meta = &o, publishedContent(o), meta
	return f
}

// Create makes a File that does not exist in the bucket, or that replaces the
// object replaced. It becomes an object when its last writer closes it.
func (e *Engine) Create(key string, replaced *s3.Object, meta Meta) (*File, error) {
	return e.create(key, replaced, meta, "")
}

// CreateUnheard is Create of a file that a request has perhaps put into the bucket already, with
// the properties of that publication: no answer has come.
func (e *Engine) CreateUnheard(key string, meta Meta, publication string) (*File, error) {
	return e.create(key, nil, meta, publication)
}

func (e *Engine) create(key string, replaced *s3.Object, meta Meta, unheard string) (*File, error) {
	f := e.newFile(key)
	f.object, f.meta = replaced, meta
	c := &content{id: journal.NewID(), born: journal.NewID()}
	if unheard != "" {
		c.born, c.tried, c.at = unheard, true, key
	}
	if err := e.journal.NoteOpen(c.id, key); err != nil {
		return nil, err
	}
	c.changes = 1 // an empty file is a file
	f.chain = []*content{c}
	e.dirtyAdd(f)
	return f, nil
}

// head is the newest version.
func (f *File) head() *content {
	if n := len(f.chain); n > 0 {
		return f.chain[n-1]
	}
	return f.clean
}

// Key is the file's present key, empty after it was unlinked.
func (f *File) Key() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key
}

// Size in bytes.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head().ext.Size()
}

// Meta is what the file carries now.
func (f *File) Meta() Meta {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.meta
}

// Learn sets what a published file carries, once its object o was asked. A listing
// does not tell the version's ID, by which it can be copied when it is replaced.
func (f *File) Learn(m Meta, o s3.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.chain) == 0 {
		f.meta = m
	}
	if was := f.object; was != nil && was.VersionID == "" && o.VersionID != "" && was.ETag == o.ETag && was.Key == o.Key && f.clean != nil {
		f.object = &o
		f.clean.remote.Relocate(o)
	}
}

// Dirty tells whether the bucket does not have the newest version yet.
func (f *File) Dirty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.chain) > 0
}

// InUse tells whether the file is open or not published.
func (f *File) InUse() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key != "" && len(f.chain) > 0 || f.handles > 0
}

// Object is the version in the bucket, nil when there is none under this name.
func (f *File) Object() *s3.Object {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.object
}

// OpenHandle counts an open descriptor. It fails with ErrStale when the file's
// bytes were given back: who has just looked it up has to look again.
func (f *File) OpenHandle(write bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forgotten {
		return ErrStale
	}
	f.handles++
	if write {
		f.writers++
		if f.clean == nil { // made by this open, or by one before that was not closed
			f.noteWriter()
		}
	}
	return nil
}

// readOnce reads from where the bytes are now.
func (f *File) readOnce(ctx context.Context, off int64, n int) (*Chunks, error) {
	for {
		f.mu.Lock()
		segs, overflows := f.head().resolve(off, int64(n), nil), f.overflows
		if len(segs) == 1 && segs[0].remote != nil {
			r := f.readerOf(segs[0].remote)
			f.mu.Unlock()
			return r.Read(ctx, off, int(segs[0].n))
		}
		readers := make([]*Reader, len(segs))
		for i, s := range segs {
			if s.remote != nil {
				readers[i] = f.readerOf(s.remote)
			}
		}
		f.mu.Unlock()
		chunks, err := readSegments(ctx, segs, readers, off)
		f.mu.Lock()
		same := f.overflows == overflows
		f.mu.Unlock()
		if same || err != nil {
			return chunks, err
		}
		chunks.Release() // bytes may have left the spool meanwhile
	}
}

// readSegments puts together the bytes of adjacent segments from off on, and gives
// the spool files back.
func readSegments(ctx context.Context, segs []segment, readers []*Reader, off int64) (*Chunks, error) {
	defer func() {
		for _, s := range segs {
			if s.spool != nil {
				s.spool.Unref()
			}
		}
	}()
	total := int64(0)
	for _, s := range segs {
		total += s.n
	}
	buf, put := pooled(int(total))
	for i, s := range segs {
		if err := s.read(ctx, readers[i], buf[s.off-off:][:s.n]); err != nil {
			put()
			return nil, err
		}
	}
	return ChunkOf(buf, put), nil
}

func (s *segment) read(ctx context.Context, r *Reader, p []byte) error {
	switch {
	case s.sent:
		return ErrOverflowed
	case s.spool != nil:
		_, err := s.spool.ReadAt(p, s.off)
		return err
	case r == nil:
		clear(p)
		return nil
	}
	for done := 0; done < len(p); {
		c, err := r.Read(ctx, s.off+int64(done), len(p)-done)
		if err != nil {
			return err
		}
		k := c.CopyTo(p[done:])
		c.Release()
		if k == 0 {
			return io.ErrUnexpectedEOF
		}
		done += k
	}
	return nil
}

// readerOf is the reader of a published content. The caller holds f.mu.
func (f *File) readerOf(c *content) *Reader {
	if c.reader == nil {
		c.reader = f.eng.fetcher.NewReader(c.remote)
	}
	return c.reader
}

// SeekData finds the next byte that is in a hole, or that is not. It returns
// io.EOF where there is none.
func (f *File) SeekData(ctx context.Context, off int64, hole bool) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.head().ext.Next(off, hole)
	if !ok {
		return 0, io.EOF
	}
	return at, nil
}

// SetMeta changes what the file carries; change is called with the lock held.
// A published file gets a new version that differs in nothing else.
func (f *File) SetMeta(change func(m *Meta)) error {
	f.mu.Lock()
	before := f.meta.MtimeNS
	change(&f.meta)
	f.meta.CtimeNS = now()
	f.timed = f.timed || f.meta.MtimeNS != before
	if f.key == "" {
		f.mu.Unlock()
		return nil
	}
	last := f.head()
	if last.frozen && (last == f.clean || last == f.publishing) {
		c := derived(last)
		c.changes = 1
		f.chain = append(f.chain, c)
		f.eng.dirtyAdd(f)
		f.freeze()
		last = c
	}
	if !last.frozen {
		last.changes++ // goes with the close
		f.mu.Unlock()
		return nil
	}
	last.meta = f.meta
	last.changes++
	f.mu.Unlock()
	err := f.commit()
	f.enqueue(f.eng.opts.Settle)
	return err
}

// DropSetID takes setuid away, and setgid where the group may execute, as a write or a
// truncation by anybody but root does.
func (f *File) DropSetID() error {
	f.mu.Lock()
	mode := f.meta.Mode
	f.mu.Unlock()
	drop := mode & setuid
	if mode&groupExec != 0 {
		drop |= mode & setgid
	}
	if drop == 0 {
		return nil
	}
	return f.SetMeta(func(m *Meta) { m.Mode &^= drop })
}

// Bits of Meta.Mode.
const (
	setuid    = 0o4000
	setgid    = 0o2000
	groupExec = 0o010
)

// only tells whether the content is nothing but the bytes of its base.
func (c *content) only(kind plan.Kind) bool {
	return c.ext.Bytes(kind) == c.ext.Size()
}
