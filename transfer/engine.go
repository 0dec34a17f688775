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
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
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
	// Parallel is how many parts are sent at once; 0: as many as fill the link.
	Parallel int
	// Host is this machine's name in the names of conflict copies.
	Host string
	// ScratchKey is a key that nobody uses, to find out with which preconditions the
	// store holds; empty: those of writes are held.
	ScratchKey string

	// Published is called when an object was written, before the file counts as
	// published, with the objects that go because of it; Settled afterwards; Deleted
	// when these, or others, have gone, or another object turned out to be at their key and
	// stays. All without any lock.
	Published func(f *File, o s3.Object, gone []journal.Object)
	Settled   func(f *File)
	Deleted   func(gone, other []journal.Object)
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
	guard   guard
	ctx     context.Context
	stop    context.CancelFunc
	seq     atomic.Uint64

	requests atomic.Uint64 // that were noted as under way
	sureAt   time.Time     // from when on nothing of an earlier process comes any more; set by Recover

	// around is nil but in tests, which end the process before or after a transaction.
	around func(apply func() error) error

	pairing sync.Mutex // who holds it may lock two files; taken before File.mu

	mu        sync.Mutex
	recovered []recovered                  // what Start begins
	moves     []chan struct{}              // renames of directories that Start began; closed when complete
	dirty     map[*File]bool               // files with content that is not published
	creating  map[string]int               // keys at which uploads are being made that no content knows
	lost      map[string]lostUpload        // keys of uploads whose ID is not known
	writing   map[*File]bool               // files that were written through a descriptor that is still open
	owed      []journal.Record             // that the journal could not write
	refused   []string                     // records that it could not remove
	removing  bool                         // that is tried again
	leaving   map[string]*journal.Record   // what deleteLater deletes and aborts, by record
	late      map[journal.Object]time.Time // what requests without an answer made, or until then may still make
	repeated  map[journal.Object]string    // publications of those that had an answer when they were repeated, by version
	lateUntil time.Time                    // when that is forgotten
	unheard   []unanswered                 // requests that had no answer, oldest first
	local     []localCopy                  // published contents whose bytes are still here, oldest first
	freed     chan struct{}                // closed and replaced when spool room may be free
}

type localCopy struct {
	f *File
	c *content
}

// New makes an Engine. Recover, Observe and Start have to be called before anything
// else, in this order.
func New(o Options) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		opts: o, bucket: o.Bucket, fetcher: o.Fetcher, journal: o.Journal, log: o.Log,
		layout: plan.Layout{Fixed: o.PartSize}, queue: newQueue(), sender: &sender{fixed: o.Parallel},
		dirty: map[*File]bool{}, writing: map[*File]bool{}, creating: map[string]int{}, lost: map[string]lostUpload{},
		leaving: map[string]*journal.Record{}, late: map[journal.Object]time.Time{}, repeated: map[journal.Object]string{}, freed: make(chan struct{}),
	}
	e.requests.Store(rand.Uint64() >> 1) // the IDs of an earlier process may still be noted
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e
}

// Observe sets who hears of what was written and deleted; see Options. It must be
// called before Start.
func (e *Engine) Observe(published func(f *File, o s3.Object, gone []journal.Object), settled func(*File), deleted func(gone, other []journal.Object)) {
	e.opts.Published, e.opts.Settled, e.opts.Deleted = published, settled, deleted
}

func (e *Engine) nextSeq() uint64 { return e.seq.Add(1) }

// keepLocal keeps the spool file of a published content for reading, while there
// is room: copies take at most half of the spool. Of ext, Base is bytes of base, which may
// be nil.
func (e *Engine) keepLocal(f *File, c *content, ext plan.Extents, base *Remote) {
	if c.spool == nil {
		return
	}
	e.mu.Lock()
	e.local = append(e.local, localCopy{f, c})
	e.mu.Unlock()
	e.fetcher.Keep(c.remote, f.copyOf(c, ext, base))
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
	e.fetcher.KeepNow()
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
