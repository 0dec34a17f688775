// Package names is the bucket as a tree: names, attributes, listings, renames. It
// shows the bucket plus what waits to be published minus what waits to be deleted.
// It never moves the bytes of files, and never knows file descriptors.
package names

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"s3mount/internal/attrs"
	"s3mount/internal/s3"
	"s3mount/transfer"
)

// Options of a Tree.
type Options struct {
	Bucket *s3.Bucket
	Engine *transfer.Engine
	// Attrs remembers over restarts what objects carry; nil: nothing does.
	Attrs *attrs.Store
	// Prefix is put in front of every key: empty, or it ends with a slash.
	Prefix string
	// TTL is how long a listing or an attribute is believed.
	TTL time.Duration
	// ListedTimes shows of files whose attributes are not known what the listing says: its
	// time, and default modes. Nobody asks for them to answer stat(2).
	ListedTimes bool
	// Default is the owner of what says nothing itself; Umask takes bits from the
	// default modes 0666 and 0777.
	Default  transfer.Meta
	Umask    uint32
	ReadOnly bool
	Log      *slog.Logger
}

// Tree is the bucket as a tree. Lock order: Tree.mu before the locks of transfer;
// no lock is held during a request.
type Tree struct {
	opts    Options
	bucket  *s3.Bucket
	engine  *transfer.Engine
	root    *Node
	long    longNames
	started time.Time

	mu      sync.Mutex
	nodes   byDir[*Node]
	inos    map[uint64]*Node
	dirs    map[string]*listing
	walks   map[string]*walk                // by their tops
	full    []fullEntry                     // in the order in which they were listed
	changes byDir[change]                   // our own recent changes
	doomed  map[string][]transfer.ObjectRef // objects that are still to be deleted, by key
	heads   map[string]*heading             // by path; of markers with a slash behind
	turns   chan struct{}                   // of HEADs that nobody waits for yet
	news    chan string                     // see News
	swept   time.Time                       // when old changes were dropped
	tidied  time.Time                       // when old listings were

	unordered bool // the server lists keys in another order than theirs
}

// change is the last thing that we did to a path ourselves. A listing that began
// before it is corrected by it.
type change struct {
	at     time.Time
	object *s3.Object // nil: deleted
}

// New makes a Tree. recovered is what Engine.Recover returned.
func New(o Options, recovered transfer.Recovered) *Tree {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Tree{
		opts: o, bucket: o.Bucket, engine: o.Engine, started: time.Now(), long: longNames{real: map[string]string{}},
		nodes: byDir[*Node]{}, inos: map[uint64]*Node{}, dirs: map[string]*listing{}, walks: map[string]*walk{}, changes: byDir[change]{},
		doomed: map[string][]transfer.ObjectRef{}, heads: map[string]*heading{},
		turns: make(chan struct{}, headParallel), news: make(chan string, maxNews),
	}
	t.root = &Node{tree: t, kind: KindDir, ino: 1, held: true, meta: t.defaults(KindDir)}
	t.root.meta.MtimeNS, t.root.exact = t.started.UnixNano(), true
	t.inos[1] = t.root
	t.nodes.set("", t.root)
	o.Engine.Observe(t.published, t.settled, t.deleted)
	t.doom(recovered.Doomed)
	for _, f := range recovered.Files {
		t.doom(f.FormerObjects())
		t.adopt(f)
	}
	return t
}

// adopt gives a file of an earlier process its node.
func (t *Tree) adopt(f *transfer.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.pathOf(f)
	if !ok {
		return // of a mount with another prefix: published all the same
	}
	meta := f.Meta()
	kind := kindOf(meta.Mode)
	n := t.node(p, kind)
	n.file, n.held, n.exact, n.meta = f, false, true, meta
	if kind == KindLink {
		if c, err := f.Read(context.Background(), 0, 4096); err == nil {
			buf := make([]byte, c.Len())
			c.CopyTo(buf)
			c.Release()
			n.target = string(buf)
		}
	}
}

func kindOf(mode uint32) Kind {
	switch mode & transfer.ModeType {
	case transfer.ModeLink:
		return KindLink
	case transfer.ModeDir:
		return KindDir
	}
	return KindFile
}

// Root is the top of the tree.
func (t *Tree) Root() *Node { return t.root }

// published is called by the engine after an object was written.
func (t *Tree) published(f *transfer.File, o s3.Object, gone []transfer.ObjectRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q, ok := t.pathOf(f); ok {
		if n := t.nodes.at(q); n != nil && n.file == f && n.kind == KindDir {
			t.markerMade(n, o)
			return
		}
	}
	p, ok := t.path(o.Key)
	if !ok {
		return
	}
	if key := f.Key(); key == o.Key || key == "" { // else it left the name meanwhile
		t.record(p, &o)
	}
	for _, g := range gone {
		if q, ok := t.path(g.Key); ok && q != p && (t.nodes.at(q) == nil || t.nodes.at(q).file == f) {
			t.record(q, nil)
		}
	}
	if n := t.nodes.at(p); n != nil && n.file == f {
		n.object, n.exact, n.checked = o, true, time.Now()
		n.meta = f.Meta()
	}
}

// settled is called by the engine when a file has nothing unpublished any more.
func (t *Tree) settled(f *transfer.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.pathOf(f); ok {
		if n := t.nodes.at(p); n != nil && n.file == f {
			if n.kind == KindDir { // its marker is an object like those of others
				n.file = nil
				go f.Forget()
			}
			t.reap(n)
		}
	}
}

// deleted is called by the engine after deletions that were left for later.
func (t *Tree) deleted(gone, other []transfer.ObjectRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spare(gone)
	t.spare(other)
	for _, g := range gone {
		if p, ok := t.path(g.Key); ok && t.nodes.at(p) == nil {
			t.record(p, nil)
		}
	}
}

// doom hides objects that are to be deleted. The caller holds t.mu.
func (t *Tree) doom(list []transfer.ObjectRef) {
	for _, o := range list {
		t.doomed[o.Key] = append(t.doomed[o.Key], o)
	}
}

// spare takes objects out of the list of those that are to be deleted. The caller
// holds t.mu.
func (t *Tree) spare(list []transfer.ObjectRef) {
	for _, o := range list {
		left := slices.DeleteFunc(t.doomed[o.Key], func(d transfer.ObjectRef) bool { return d == o })
		if t.doomed[o.Key] = left; len(left) == 0 {
			delete(t.doomed, o.Key)
		}
	}
}

// record notes our own change of a path. The caller holds t.mu.
func (t *Tree) record(p string, o *s3.Object) {
	now := time.Now()
	t.changes.set(p, change{now, o})
	if o != nil {
		delete(t.doomed, t.key(p)) // it took the place of what was to be deleted
		t.opts.Attrs.Wrote(*o)
	}
	t.noteListing(p, o)
	if now.Sub(t.swept) < time.Minute {
		return
	}
	t.swept = now
	t.changes.below("", func(q string, c change) { // every listing that could need it has ended
		if now.Sub(c.at) > 5*time.Minute {
			t.changes.del(q)
		}
	})
}

// noteListing corrects the remembered listings. The caller holds t.mu.
func (t *Tree) noteListing(p string, o *s3.Object) {
	dir, name := parent(p)
	for l := t.dirs[dir]; l != nil; l = l.before {
		e, ok := l.entries[name]
		switch {
		case ok && e.kind == KindDir:
		case o == nil:
			l.drop(name)
		default:
			l.put(name, entry{kind: sizeKind(o), object: *o})
		}
	}
}
