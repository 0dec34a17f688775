package names

import (
	"context"
	"slices"
	"strings"

	"s3mount/internal/s3"
)

// Unlink removes a file or a link.
func (t *Tree) Unlink(ctx context.Context, dir *Node, name string) error {
	if t.opts.ReadOnly {
		return ErrReadOnly
	}
	n, err := t.Lookup(ctx, dir, name)
	if err != nil {
		return err
	}
	if n.kind == KindDir {
		return ErrIsDir
	}
	f, err := n.use(ctx, false)
	if err != nil {
		return err
	}
	p := n.Path()
	if err := t.keepParent(ctx, p); err != nil {
		return err
	}
	later, err := t.engine.Remove(ctx, f)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doom(later)
	t.detach(n)
	t.record(p, nil)
	t.bump(p)
	t.reap(n)
	return nil
}

// Rmdir removes an empty directory.
func (t *Tree) Rmdir(ctx context.Context, dir *Node, name string) error {
	if t.opts.ReadOnly {
		return ErrReadOnly
	}
	n, err := t.Lookup(ctx, dir, name)
	if err != nil {
		return err
	}
	if n.kind != KindDir {
		return ErrNotDir
	}
	p := n.Path()
	if err := t.isEmpty(ctx, p); err != nil {
		return err
	}
	if err := t.keepParent(ctx, p); err != nil {
		return err
	}
	if err := t.dropMarker(ctx, n, p); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.detach(n)
	delete(t.dirs, p)
	t.noteDir(p, false)
	t.bump(p)
	t.reap(n)
	return nil
}

// keepParent writes the marker of a directory that exists only because of the
// object that is about to go, so that it stays.
func (t *Tree) keepParent(ctx context.Context, p string) error {
	dir, name := parent(p)
	if dir == "" {
		return nil
	}
	l, err := t.listed(ctx, dir)
	if err != nil {
		return err
	}
	t.mu.Lock()
	if t.unpublished(dir) { // its marker comes
		t.mu.Unlock()
		return nil
	}
	_, listed := l.entries[name]
	last := l.complete && l.marker == nil && len(l.entries) == 1 && listed
	meta := t.defaults(KindDir)
	meta.MtimeNS = t.started.UnixNano()
	if n := t.nodes.at(dir); n != nil && n.exact {
		meta = n.meta
	}
	t.mu.Unlock()
	if !last {
		return nil
	}
	_, err = t.putMarker(ctx, dir, &meta, "")
	return err
}

// isEmpty asks the bucket, and looks at what is not there yet.
func (t *Tree) isEmpty(ctx context.Context, p string) error {
	t.mu.Lock()
	full := false
	t.nodes.below(p, func(_ string, n *Node) { full = full || n.file != nil && n.file.Dirty() })
	if full {
		t.mu.Unlock()
		return ErrNotEmpty
	}
	t.mu.Unlock()
	remains, err := t.remains(ctx, t.key(p)+"/", false)
	if err == nil && remains {
		return ErrNotEmpty
	}
	if s3.Retryable(err) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.onlyHere(p) {
			return nil
		}
	}
	return err
}

// remains asks whether the bucket has an object below the prefix that does not wait to
// be deleted; marker: the one at the prefix itself counts.
func (t *Tree) remains(ctx context.Context, prefix string, marker bool) (bool, error) {
	t.mu.Lock()
	doomed := 0
	for k := range t.doomed {
		if strings.HasPrefix(k, prefix) {
			doomed++
		}
	}
	t.mu.Unlock()
	for token := ""; ; {
		page, err := t.bucket.List(ctx, prefix, "", "", token, min(2+doomed, pageSize))
		if err != nil {
			return false, err
		}
		if t.anyRemains(page.Objects, prefix, marker) {
			return true, nil
		}
		// Where more wait than a page has, or a server tells of more that has gone meanwhile.
		if token = page.Next; token == "" {
			return false, nil
		}
	}
}

// anyRemains is remains for a page of a listing.
func (t *Tree) anyRemains(page []s3.Object, prefix string, marker bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(page, func(o s3.Object) bool {
		return (o.Key != prefix || marker) && !t.isDoomed(&o)
	})
}

// living leaves out the prefixes below which there is nothing but objects that wait to be
// deleted. Those of a page are in order.
func (t *Tree) living(ctx context.Context, prefixes []string) []string {
	dying := map[string]bool{}
	t.mu.Lock()
	for key := range t.doomed {
		i, _ := slices.BinarySearchFunc(prefixes, key, func(prefix, key string) int {
			if strings.HasPrefix(key, prefix) {
				return 0
			}
			return strings.Compare(prefix, key)
		})
		if i < len(prefixes) && strings.HasPrefix(key, prefixes[i]) {
			dying[prefixes[i]] = true
		}
	}
	t.mu.Unlock()
	return slices.DeleteFunc(prefixes, func(prefix string) bool {
		if !dying[prefix] {
			return false
		}
		remains, err := t.remains(ctx, prefix, true)
		return err == nil && !remains
	})
}
