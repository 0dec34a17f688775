// Package transfer moves bytes between the kernel's requests and the bucket: it
// reads ahead, and it keeps every written byte on the local disk until the bucket
// has it. It knows keys and versions, but no directories and no file handles.
//
// Reading goes File.Read -> Reader.Read -> Fetcher -> s3.GetRange. Writing goes
// File.WriteAt -> spool -> upload parts -> publish -> s3.Complete. What is to be
// published is in the journal before a close returns.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// Options of an Engine.
type Options struct {
	Bucket  *s3.Bucket
	Fetcher *Fetcher
	Journal *journal.Journal
	Log     *slog.Logger

	// Settle is the pause between a close and the publication, in which late times,
	// modes and renames fold in.
	Settle time.Duration
	// SyncTimeout limits how long fsync waits; 0: for ever.
	SyncTimeout time.Duration
	// CloseInBucket: close returns when the object is published.
	CloseInBucket bool
	// SyncInJournal: fsync returns when the bytes are durable here.
	SyncInJournal bool
	// PartSize fixes the size of parts; 0: growing.
	PartSize int64
	// Parallel is how many parts are sent at once; 0: 16.
	Parallel int
	// Host is this machine's name in the names of conflict copies.
	Host string

	// Published is called when an object was written, before the file counts as
	// published, with the objects that go because of it; Settled afterwards; Deleted
	// after late deletions. All without any lock.
	Published func(f *File, o s3.Object, gone []journal.Object)
	Settled   func(f *File)
	Deleted   func(gone []journal.Object)
}

// Engine is the writing side of a mount.
type Engine struct {
	opts    Options
	bucket  *s3.Bucket
	fetcher *Fetcher
	journal *journal.Journal
	log     *slog.Logger
	layout  plan.Layout
	queue   *queue
	sender  *sender
	ctx     context.Context
	stop    context.CancelFunc
	seq     atomic.Uint64

	mu        sync.Mutex
	recovered []func()       // what Start begins
	dirty     map[*File]bool // files with content that is not published
	local     []localCopy    // published contents whose bytes are still here, oldest first
	freed     chan struct{}  // closed and replaced when spool room may be free
}

type localCopy struct {
	f *File
	c *content
}

// New makes an Engine. Recover, Observe and Start have to be called before anything
// else, in this order.
func New(o Options) *Engine {
	if o.Parallel == 0 {
		o.Parallel = 16
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		opts: o, bucket: o.Bucket, fetcher: o.Fetcher, journal: o.Journal, log: o.Log,
		layout: plan.Layout{Fixed: o.PartSize}, queue: newQueue(), sender: &sender{limit: o.Parallel},
		dirty: map[*File]bool{}, freed: make(chan struct{}),
	}
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e
}

// Observe sets who hears of what was written and deleted; see Options. It must be
// called before Start.
func (e *Engine) Observe(published func(f *File, o s3.Object, gone []journal.Object), settled func(*File), deleted func([]journal.Object)) {
	e.opts.Published, e.opts.Settled, e.opts.Deleted = published, settled, deleted
}

func (e *Engine) nextSeq() uint64 { return e.seq.Add(1) }

// reserve books spool room for n bytes. When the spool is full, local copies of
// published files go first; then it waits for publications, and where none is on
// its way it fails with ErrSpoolFull.
func (e *Engine) reserve(ctx context.Context, s *journal.File, n int64) error {
	for n > 0 {
		e.mu.Lock()
		freed := e.freed
		e.mu.Unlock()
		err := s.Reserve(n)
		if err == nil || !errors.Is(err, ErrSpoolFull) {
			return err
		}
		if e.evictLocal() {
			continue
		}
		if len(e.Pending()) == 0 {
			return err
		}
		for _, f := range e.dirtyFiles() {
			f.hasten("")
		}
		select {
		case <-freed:
		case <-time.After(time.Minute): // nothing was published for long: the bucket is out of reach
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// keepLocal keeps the spool file of a published content for reading, while there
// is room: copies take at most half of the spool.
func (e *Engine) keepLocal(f *File, c *content) {
	if c.spool == nil {
		return
	}
	e.mu.Lock()
	e.local = append(e.local, localCopy{f, c})
	e.mu.Unlock()
	for e.journal.Spool.Used() > e.journal.Spool.Limit()/2 && e.evictLocal() {
	}
	e.signalFreed()
}

// evictLocal drops the oldest local copy.
func (e *Engine) evictLocal() bool {
	e.mu.Lock()
	if len(e.local) == 0 {
		e.mu.Unlock()
		return false
	}
	x := e.local[0]
	e.local = slices.Delete(e.local, 0, 1)
	e.mu.Unlock()
	x.f.mu.Lock()
	if x.c.remote != nil {
		x.c.dropLocal()
	}
	x.f.mu.Unlock()
	return true
}

// forget takes the file's copies out of the list.
func (e *Engine) forget(f *File) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.local = slices.DeleteFunc(e.local, func(x localCopy) bool { return x.f == f })
}

func (e *Engine) signalFreed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.freed)
	e.freed = make(chan struct{})
}

func (e *Engine) dirtyAdd(f *File) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dirty[f] = true
}

func (e *Engine) dirtyRemove(f *File) {
	e.mu.Lock()
	delete(e.dirty, f)
	e.mu.Unlock()
	e.signalFreed()
}

func (e *Engine) dirtyFiles() []*File {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.dirty))
}

// Pending is the files whose closed content is not in the bucket yet.
func (e *Engine) Pending() []*File {
	return slices.DeleteFunc(e.dirtyFiles(), func(f *File) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.key == "" || len(f.chain) == 0 || !f.chain[0].frozen && !f.closed()
	})
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

// State is how far a pending file is.
type State struct {
	Key        string
	Size, Done int64 // bytes, and those that the bucket has taken
	Uploading  bool
	Err        error // of the last try
}

// Status is the state of every pending file.
func (e *Engine) Status() []State {
	var out []State
	for _, f := range e.Pending() {
		f.mu.Lock()
		s := State{Key: f.key, Size: f.head().ext.Size(), Uploading: f.publishing != nil, Err: f.lastErr}
		for _, c := range f.chain {
			if c.stream != nil {
				for _, p := range c.stream.parts {
					if p.state == partSent {
						s.Done += p.size
					}
				}
			}
		}
		f.mu.Unlock()
		if s.Key != "" {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b State) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Close ends every transfer and waits for it. What is not published stays in the
// journal.
func (e *Engine) Close() error {
	e.stop()
	for _, f := range e.dirtyFiles() {
		f.mu.Lock()
		f.cond.Broadcast()
		f.mu.Unlock()
	}
	e.queue.shut()
	e.sender.wg.Wait()
	for e.evictLocal() { // copies of what the bucket has
	}
	return nil
}

// Forget ends the use of a file that is published or unlinked, and that nobody can
// open any more.
func (f *File) Forget() {
	f.eng.forget(f)
	f.mu.Lock()
	f.forgotten = true
	f.mu.Unlock()
	f.release()
}
