package names

import "strings"

// Refresh forgets what is known of a path and of all below it: listings, attributes, and
// what is remembered over restarts. It returns the paths that the kernel may know, whose
// cache has to forget them too; the path itself is the first.
func (t *Tree) Refresh(p string) (known []string) {
	p = strings.Trim(p, "/")
	t.mu.Lock()
	key, below := t.key(p), t.dirKey(p)
	in := func(q string) bool { return p == "" || q == p || strings.HasPrefix(q, p+"/") }
	for _, w := range t.walks {
		if in(w.top) || w.top == "" || strings.HasPrefix(p, w.top+"/") {
			t.endWalk(w)
		}
	}
	dir, _ := parent(p)
	for d := range t.dirs {
		if in(d) || d == dir {
			delete(t.dirs, d)
		}
	}
	known = append(known, p)
	if n := t.nodes.at(p); n != nil {
		t.unlearn(n)
	}
	t.nodes.below(p, func(q string, n *Node) {
		if t.unlearn(n) {
			known = append(known, q)
		}
	})
	t.mu.Unlock()
	t.opts.Attrs.Forget(key, below)
	return known
}

// unlearn makes a node ask again, and tells whether the kernel may know it. The caller
// holds t.mu.
func (t *Tree) unlearn(n *Node) bool {
	if n == t.root || n.file != nil && n.file.Dirty() {
		return false
	}
	n.exact, n.checked = false, t.started
	return n.held
}

// maxNews is how many changes wait until the kernel hears of them. It forgets by itself
// what it does not hear of.
const maxNews = 1000

// News gives the paths of files that a listing shows as changed or gone, by another
// client, and that the kernel may know as they were.
func (t *Tree) News() <-chan string { return t.news }

// compare notes that a listing names another version than a node has; nil: it names none.
// The caller holds t.mu.
func (t *Tree) compare(n *Node, etag string) {
	if n == nil || !n.held || n.gone || n.kind == KindDir || n.object.ETag == "" || n.object.ETag == etag {
		return
	}
	if n.file != nil && n.file.Dirty() {
		return
	}
	select {
	case t.news <- n.path:
	default:
	}
}

// missing notes nodes that a complete listing does not have. The caller holds t.mu.
func (t *Tree) missing(l *listing) {
	if !l.complete || t.dirs[l.dir] != l {
		return
	}
	for name, n := range t.nodes[l.dir] {
		if _, ok := l.entries[name]; !ok {
			t.compare(n, "")
		}
	}
}
