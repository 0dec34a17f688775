package names

import (
	"context"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

const (
	// pageSize is how many keys one request lists.
	pageSize = 1000
	// pagesAhead is how many pages are asked for ahead of what was given out.
	pagesAhead = 2
	// keptListed is how many are kept for standInTime, as what stands in while the bucket cannot
	// be reached: a copy of large files looks at their directories rarely.
	keptListed  = 10_000
	standInTime = time.Hour
	// maxListed is about how many entries are kept; those that were listed longest ago go.
	maxListed = 100_000
)

// maxLink is the longest target of a symbolic link (PATH_MAX).
const maxLink = 4096

// ScratchPrefix begins the names of objects by which mounts find out what a store can.
// They are there for a moment, and never shown.
const ScratchPrefix = ".s3mount-probe-"

// listing is what a directory holds, as the bucket said, with our own changes since laid
// over it. Its pages come one after the other while somebody wants them: from requests of
// its own, or from those of a walk. Guarded by Tree.mu.
type listing struct {
	dir     string
	started time.Time        // when its first request was sent
	heard   time.Time        // when its latest one was: the listing is believed for the TTL from then
	entries map[string]entry // changed by put and drop
	order   []string         // names as they came, in the order of their keys; see entry.at

	subdirs int // of the entries

	pager // of its own pages

	before *listing  // the latest complete one of the directory, until this one is; see standIn
	until  time.Time // it is believed until then, since the bucket could not be reached

	complete bool       // all pages are here
	marker   *s3.Object // the directory's own object; nil: there is none
	pages    int        // that are here
	want     int        // that somebody wants
	loading  bool
	news     chan struct{} // closed when the next page is here, or err
	err      error

	from *walk    // that filled it; nil: it has its own pages
	fed  bool     // the walk fills it still
	page int      // of the walk, in which it ended
	idle int      // pages of the walk in which there was nothing for it
	next *listing // of the directory behind it in the walk

	steps   int       // subdirectories that were read in turn
	stepped time.Time // when the latest was
	last    int       // which that is, as entry.at

	looked int  // the entry that was looked up last, as entry.at
	inTurn bool // it came soon after the one before it

	asked int // HEADs that somebody waited for
	place int // of the latest of them, as entry.at
	turn  int // how many of them came in turn
	ahead int // index in order up to which HEADs were sent ahead
}

type entry struct {
	kind   Kind
	object s3.Object // of a directory: its marker, when it is known
	at     int       // index in listing.order
	known  bool      // of a directory: somebody asked for its marker
	kept   bool      // what the object carries is remembered on disk, and mostly not here; see whole
}

func newListing(dir string) *listing {
	now := time.Now()
	return &listing{dir: dir, started: now, heard: now, entries: map[string]entry{}, last: -1, place: -1, news: make(chan struct{})}
}

// put adds or replaces an entry, which keeps its place.
func (l *listing) put(name string, e entry) {
	if old, ok := l.entries[name]; ok {
		e.at = old.at
		l.drop(name)
	} else {
		e.at = len(l.order)
		l.order = append(l.order, name)
	}
	if l.entries[name] = e; e.kind == KindDir {
		l.subdirs++
	}
}

// drop removes an entry.
func (l *listing) drop(name string) {
	if l.entries[name].kind == KindDir {
		l.subdirs--
	}
	delete(l.entries, name)
}

// name is the entry at an index of order; false when it has gone.
func (l *listing) name(i int) (string, entry, bool) {
	e, ok := l.entries[l.order[i]]
	return l.order[i], e, ok && e.at == i
}

// putDir adds a directory. An object of the same name is shown under another one.
func (l *listing) putDir(name string) {
	if e, ok := l.entries[name]; ok && e.kind != KindDir {
		l.put(name+fileTwin, e)
	} else if ok {
		return
	}
	l.put(name, entry{kind: KindDir})
}

// tell wakes those who wait for more.
func (l *listing) tell() {
	close(l.news)
	l.news = make(chan struct{})
}

// sizeKind is the kind that a listing tells: a small object may be a link.
func sizeKind(o *s3.Object) Kind {
	if o.Size > 0 && o.Size < maxLink && !o.HasProps {
		return KindUnknown
	}
	if o.HasProps {
		m := transfer.ReadMeta(o, transfer.Meta{Mode: transfer.ModeFile})
		return kindOf(m.Mode)
	}
	return KindFile
}

// believed tells whether lookups are answered by the listing, as far as it goes. The
// caller holds t.mu.
func (t *Tree) believed(l *listing) bool {
	return l != nil && l.err == nil && (l.pages == 0 && (l.loading || l.fed) || time.Since(l.heard) < t.opts.TTL || time.Now().Before(l.until))
}

// listingOf is the listing of a directory that is believed: the one that is here, or
// that comes with a walk, or else its own. The caller holds t.mu.
func (t *Tree) listingOf(dir string) *listing {
	old := t.dirs[dir]
	if t.believed(old) {
		return old
	}
	t.tidy()
	l := newListing(dir)
	if old != nil {
		l.steps, l.stepped = old.steps, old.stepped
		l.before = old.lastComplete()
	}
	if w := t.walkOver(dir); w != nil {
		l.from, l.fed = w, true
		w.expected[dir] = l
	}
	t.dirs[dir] = l
	return l
}

// demand asks for the pages of a listing up to a number. The caller holds t.mu.
func (t *Tree) demand(l *listing, pages int) {
	l.want = max(l.want, pages)
	switch {
	case l.from != nil && l.fed:
		t.demandWalk(l.from, l.from.pages+1)
	case !l.loading && !l.complete && l.err == nil && l.pages < l.want:
		l.loading = true
		go t.load(l)
	}
}

// listed returns a listing of the directory that is believed; it may hold the first page
// only. One request serves all who ask at the same time.
func (t *Tree) listed(ctx context.Context, dir string) (*listing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.listingOf(dir)
	for l.pages == 0 && !l.complete && l.err == nil {
		t.demand(l, 1)
		if err := t.await(ctx, l.news); err != nil {
			return nil, err
		}
	}
	l = t.standIn(l)
	return l, l.err
}

// mostStandIn is how many entries a listing may have that is kept until the next one of the
// directory is complete.
const mostStandIn = 20_000

// size is how many entries the listing holds, with those of the one before it.
func (l *listing) size() int {
	n := len(l.entries)
	if l.before != nil {
		n += len(l.before.entries)
	}
	return n
}

// lastComplete is the listing, or the one before it, as what stands in for the next one.
func (l *listing) lastComplete() *listing {
	switch {
	case l.complete && l.err == nil && len(l.entries) <= mostStandIn:
		l.before = nil
		return l
	case l.complete && l.err == nil:
		return nil
	}
	return l.before
}

// standIn is the listing, or in place of one that failed the latest complete one: while the
// bucket cannot be reached, names go on as they were last seen here, with our own changes.
// The bucket is asked again after the TTL. What other clients did meanwhile is found out when
// a file is published. A directory that the bucket never had holds nothing but what waits here.
// The caller holds t.mu.
func (t *Tree) standIn(l *listing) *listing {
	old := l.before
	if old == nil && t.neverThere(l.dir) { // an earlier mount made it
		old = newListing(l.dir)
		old.complete, old.pages = true, 1
	}
	if old == nil || l.pages > 0 || !s3.Retryable(l.err) {
		return l
	}
	if t.dirs[l.dir] == l {
		t.dirs[l.dir], old.until = old, time.Now().Add(t.opts.TTL)
	}
	return old
}

// await lets go of t.mu until the channel is closed.
func (t *Tree) await(ctx context.Context, news <-chan struct{}) error {
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-news:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tidy drops listings that nobody believes any more, and the oldest when there are too
// many. The caller holds t.mu.
func (t *Tree) tidy() {
	now := time.Now()
	if now.Sub(t.tidied) < time.Second {
		return
	}
	t.tidied = now
	total := 0
	for _, l := range t.dirs {
		total += l.size()
	}
	keep := t.opts.TTL + 30*time.Second // their steps tell a walk
	if total <= keptListed {
		keep = standInTime
	}
	for ; ; keep /= 2 {
		for dir, l := range t.dirs {
			if !l.loading && !(l.fed && l.pages == 0) && now.Sub(l.heard) >= keep && now.Sub(l.until) >= keep {
				total -= l.size()
				delete(t.dirs, dir)
			}
		}
		if total <= maxListed || keep < time.Millisecond {
			return
		}
	}
}
