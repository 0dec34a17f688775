package names

import (
	"strings"
	"time"

	"s3mount/internal/s3"
)

const (
	// walkAhead is how many pages of a walk are asked for ahead of the directory that was
	// read last.
	walkAhead = 2
	// walkPatience is how many pages of a walk a directory waits for that have nothing for
	// it, before it is listed by itself.
	walkPatience = 2
	// maxWalks is how many go on at the same time.
	maxWalks = 8
	// sameWalk is the longest time between two directories of a walk.
	sameWalk = 10 * time.Second
	// nearby is how far a listing is searched for directories between two that were read.
	nearby = 2000
)

// walk is a subtree that somebody goes through (find, rsync, ls -R), listed without a
// delimiter: one request brings many directories. The pages fill the listings of the
// directories in the order of the keys. Guarded by Tree.mu.
type walk struct {
	top    string // the directory whose subtree it is; its own listing is not filled
	prefix string // of its keys
	after  string // key behind which it began
	seen   string // latest key
	heard  time.Time
	token  string
	pages  int
	want   int

	loading, over bool

	open     []opened            // the directories of the latest key, outermost first
	expected map[string]*listing // of directories that it has not reached, and somebody wants
	latest   *listing            // of the directory that began last
}

// opened is a directory that a walk is in.
type opened struct {
	*listing
	prefix string // of the keys in it
}

// loadWalk fetches the pages of a walk that somebody wants.
func (t *Tree) loadWalk(w *walk) {
	for next := t.fetch(w.prefix, "", w.after, w.token); next != nil; {
		next = t.takeWalked(w, <-next)
	}
}

// takeWalked takes in a page, and returns the next one, which is asked for before that.
// nil: nobody wants one.
func (t *Tree) takeWalked(w *walk, p fetched) (next <-chan fetched) {
	t.mu.Lock()
	if p.err == nil && p.Next != "" && w.pages+1 < w.want && !w.over {
		next = t.fetch(w.prefix, "", "", p.Next)
	}
	t.mu.Unlock()
	t.opts.Attrs.Recall(p.Objects)
	t.mu.Lock()
	defer t.mu.Unlock()
	w.loading = next != nil
	if w.over {
		return nil
	}
	if p.err != nil { // each directory asks by itself, and hears why
		t.endWalk(w)
		return nil
	}
	if !w.inOrder(p.Objects) {
		t.unorder(w)
		return nil
	}
	w.pages++
	w.heard, w.token = p.asked, p.Next
	fed := map[*listing]bool{}
	for _, o := range p.Objects {
		t.addWalked(w, o, p.asked, fed)
	}
	if p.Next == "" {
		t.leave(w, 0)
		t.passed(w, true)
		t.endWalk(w)
	} else {
		t.passed(w, false)
		t.grumble(w, fed)
	}
	for l := range fed {
		l.tell()
	}
	t.demandWalk(w, 0)
	return next
}

// addWalked puts an object into the listing of its directory. The caller holds t.mu.
func (t *Tree) addWalked(w *walk, o s3.Object, asked time.Time, fed map[*listing]bool) {
	w.seen = o.Key
	depth := len(w.open)
	for depth > 0 && !strings.HasPrefix(o.Key, w.open[depth-1].prefix) {
		depth--
	}
	t.leave(w, depth)
	dir, prefix := w.top, w.prefix
	if depth > 0 {
		dir, prefix = w.open[depth-1].dir, w.open[depth-1].prefix
	}
	rest := o.Key[len(prefix):]
	for {
		component, below, ok := strings.Cut(rest, "/")
		if !ok {
			break
		}
		name := t.long.show(component)
		dir, prefix, rest = join(dir, name), prefix+component+"/", below
		t.enter(w, dir, prefix, asked, fed)
	}
	if len(w.open) == 0 {
		return // an object of the top
	}
	if l := w.open[len(w.open)-1]; l.fed {
		t.addObject(l.listing, rest, o, asked)
		t.feed(l.listing, asked, fed)
	}
}

// feed notes that a page of a walk has something for a listing.
func (t *Tree) feed(l *listing, asked time.Time, fed map[*listing]bool) {
	if !fed[l] {
		fed[l] = true
		l.heard = asked
		l.pages, l.idle = l.pages+1, 0
	}
}

// enter begins the listing of a directory that a walk has come to. One that is believed
// already stays, and this one is not seen.
func (t *Tree) enter(w *walk, dir, prefix string, asked time.Time, fed map[*listing]bool) {
	l := w.expected[dir]
	if l == nil {
		l = newListing(dir)
		l.from, l.fed = w, true
		if !t.believed(t.dirs[dir]) {
			t.dirs[dir] = l
		}
	}
	delete(w.expected, dir)
	l.started = asked
	if n := len(w.open); n > 0 && w.open[n-1].fed {
		_, name := parent(dir)
		w.open[n-1].putDir(name)
		t.feed(w.open[n-1].listing, asked, fed)
	}
	if w.latest != nil {
		w.latest.next = l
	}
	w.latest = l
	w.open = append(w.open, opened{l, prefix})
	t.feed(l, asked, fed)
}

// leave completes the listings of the directories that a walk has left.
func (t *Tree) leave(w *walk, depth int) {
	for _, l := range w.open[depth:] {
		if l.fed {
			l.fed, l.complete, l.page = false, true, w.pages
			t.missing(l.listing)
			l.tell()
		}
	}
	w.open = w.open[:depth]
}

// passed completes those that are empty: the walk is behind them, or over.
// The caller holds t.mu.
func (t *Tree) passed(w *walk, all bool) {
	for dir, l := range w.expected {
		if all || t.dirKey(dir) < w.seen {
			delete(w.expected, dir)
			l.fed, l.complete, l.page, l.pages, l.heard = false, true, w.pages, 1, w.heard
			t.missing(l)
			l.tell()
		}
	}
}

// grumble goes on while somebody waits, and ends a walk that lets somebody wait: the
// objects between may be many, and nobody asked for them. The caller holds t.mu.
func (t *Tree) grumble(w *walk, fed map[*listing]bool) {
	waiting := make([]*listing, 0, len(w.open)+len(w.expected))
	for _, l := range w.open {
		waiting = append(waiting, l.listing)
	}
	for _, l := range w.expected {
		waiting = append(waiting, l)
	}
	for _, l := range waiting {
		if !l.fed || fed[l] || l.want <= l.pages {
			continue
		}
		if l.idle++; l.idle >= walkPatience {
			t.endWalk(w)
			return
		}
		t.demandWalk(w, w.pages+1)
	}
}

// inOrder tells whether objects are behind all that the walk has seen, in the order of
// their keys.
func (w *walk) inOrder(objects []s3.Object) bool {
	before := max(w.after, w.seen)
	for i := range objects {
		if objects[i].Key <= before {
			return false
		}
		before = objects[i].Key
	}
	return true
}

// unorder ends a walk, and all walks from then on: where the server lists keys in another
// order than theirs, a directory is not complete when the next one comes. The caller holds
// t.mu.
func (t *Tree) unorder(w *walk) {
	t.opts.Log.Warn("the server does not list keys in their order: each directory is listed by itself", "prefix", w.prefix)
	t.unordered = true
	t.endWalk(w)
	for dir, l := range t.dirs {
		if l.from == w {
			delete(t.dirs, dir)
		}
	}
}

// endWalk ends a walk. What it was still filling gets pages of its own. The caller holds
// t.mu.
func (t *Tree) endWalk(w *walk) {
	w.over = true
	if t.walks[w.top] == w {
		delete(t.walks, w.top)
	}
	own := func(l *listing) {
		if !l.fed {
			return
		}
		waiting := l.want > l.pages
		l.fed, l.from, l.pager, l.pages, l.want = false, nil, pager{}, 0, 0
		if waiting {
			t.demand(l, 1)
		}
		l.tell()
	}
	for _, l := range w.open {
		own(l.listing)
	}
	for _, l := range w.expected {
		own(l)
	}
	w.open, w.expected = nil, map[string]*listing{}
}
