package names

import (
	"context"
	"errors"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// Attr is the node's attributes. It asks the bucket for what the listing did not say,
// unless that is enough.
func (n *Node) Attr(ctx context.Context) (Attr, error) {
	exact := n.makeExact
	if n.tree.opts.ListedTimes {
		exact = n.revalidate
	}
	if err := exact(ctx); err != nil {
		return Attr{}, err
	}
	return n.Known(), nil
}

// makeExact fetches what the node's object carries, unless it is known.
func (n *Node) makeExact(ctx context.Context) error {
	t := n.tree
	t.mu.Lock()
	known := n.exact && (n.kind == KindDir || time.Since(n.checked) < t.opts.TTL) || n.gone ||
		n.file != nil && n.file.Dirty() || n == t.root && n.exact
	p, kind := n.path, n.kind
	e, at, listed := t.listedEntry(p)
	known = known || listed && t.nodes.at(p) == n && t.knows(n, e, at)
	t.mu.Unlock()
	if known || listed && n.learnListed(t.whole(e), at) {
		return nil
	}
	if kind == KindDir {
		return n.exactDir(ctx, p)
	}
	o, asked, err := t.head(ctx, p)
	if errors.Is(err, s3.ErrNotFound) {
		return t.vanished(n, asked)
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok := t.changes.get(p); ok && c.at.After(asked) {
		return nil // we changed it ourselves meanwhile
	}
	if n.file != nil && !n.file.Dirty() && n.object.ETag != o.ETag {
		if !t.renew(n, o) {
			return transfer.ErrStale
		}
	}
	t.learn(n, o, asked)
	if link := kindOf(n.meta.Mode) == KindLink; link != (n.kind == KindLink) { // the listing did not tell
		t.detach(n)
		return transfer.ErrStale
	}
	return nil
}

// learnListed takes what a listing says, if it is of the node's version and complete.
func (n *Node) learnListed(e entry, at time.Time) bool {
	t := n.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, own := t.changes.get(n.path); own && c.at.After(at) || n.file != nil && n.file.Dirty() {
		return false
	}
	if !e.object.HasProps || e.object.ETag != n.object.ETag || e.kind != n.kind {
		return false
	}
	t.learn(n, e.object, at)
	return true
}

// listedEntry is what the remembered listing says of a path, and since when, while it is
// believed. The caller holds t.mu.
func (t *Tree) listedEntry(p string) (entry, time.Time, bool) {
	dir, name := parent(p)
	l := t.dirs[dir]
	if !t.believed(l) {
		return entry{}, time.Time{}, false
	}
	e, ok := l.entries[name]
	return e, l.heard, ok
}

// exactDir finds out what the marker of a directory carries, or that there is none.
func (n *Node) exactDir(ctx context.Context, p string) error {
	t := n.tree
	if t.listsNext(p) {
		if _, err := t.listed(ctx, p); err != nil {
			return err
		}
	}
	asked := time.Now()
	o, known := t.listedMarker(p)
	if !known || o != nil && !o.HasProps {
		t.mu.Lock()
		h := t.begin(p, true, nil)
		t.headAhead(p)
		t.mu.Unlock()
		answer, at, err := h.wait(ctx)
		switch {
		case err == nil:
			o, asked = &answer, at
		case errors.Is(err, s3.ErrNotFound):
			o, asked = nil, at
		default:
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case n.exact && n.checked.After(asked): // we changed it ourselves meanwhile
	case o != nil:
		t.learn(n, *o, asked)
	default:
		n.meta = t.defaults(KindDir)
		n.meta.MtimeNS = t.started.UnixNano()
		n.exact, n.checked = true, asked
	}
	return nil
}

// listsNext tells whether who asks for a directory's attributes is about to read it: the
// listing answers both.
func (t *Tree) listsNext(p string) bool {
	t.mu.Lock()
	dir, _ := parent(p)
	l, walked, key := t.dirs[dir], t.walkOver(p) != nil, t.dirKey(p)
	first := l != nil && l.asked < 2 // or the second, in a directory of many
	if l != nil && !walked {
		l.asked++
	}
	t.mu.Unlock()
	if first && !walked {
		_, seen := t.opts.Attrs.Knows(key, key) // else a HEAD is needed anyway
		return seen
	}
	return walked
}

// vanished notes that another client deleted the node's object.
func (t *Tree) vanished(n *Node, asked time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok := t.changes.get(n.path); ok && c.at.After(asked) {
		return nil
	}
	t.noteListing(n.path, nil)
	t.detach(n)
	return ErrNotExist
}
