package names

import (
	"context"
	"slices"
	"strings"

	"s3mount/transfer"
)

// Find tells whether something is at a path below the mountpoint, with slashes. It
// asks the bucket about what is neither known nor waiting to be published.
func (t *Tree) Find(ctx context.Context, p string) (*Node, error) {
	n := t.root
	for name := range strings.FieldsFuncSeq(p, func(r rune) bool { return r == '/' }) {
		if n.kind != KindDir {
			return nil, ErrNotDir
		}
		var err error
		if n, err = t.Lookup(ctx, n, name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Cancel gives up what is not in the bucket yet of one file. The name shows again
// what the bucket has: nothing, or the version before. It returns the paths at
// which something else may be seen now; the kernel's cache has to forget them.
func (t *Tree) Cancel(ctx context.Context, p string) (changed []string, err error) {
	t.mu.Lock()
	n := t.nodes.at(p)
	if n == nil || n.kind == KindDir || n.file == nil || !n.file.Dirty() {
		t.mu.Unlock()
		return nil, t.notCancellable(ctx, p)
	}
	f := n.file
	t.mu.Unlock()
	kept, err := t.engine.Cancel(ctx, f)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p = n.path // it may have been moved meanwhile
	t.detach(n)
	t.spare(kept)
	changed = []string{p}
	for _, o := range kept {
		q, ok := t.path(o.Key)
		if ok && !slices.Contains(changed, q) {
			t.changes.del(q) // it was noted as gone, and is not
			changed = append(changed, q)
		}
	}
	for _, q := range changed {
		dir, _ := parent(q)
		delete(t.dirs, dir)
		t.bump(q)
	}
	t.reap(n)
	return changed, nil
}

// notCancellable tells why there is nothing to cancel at a path.
func (t *Tree) notCancellable(ctx context.Context, p string) error {
	n, err := t.Find(ctx, p)
	switch {
	case err != nil:
		return err
	case n.kind == KindDir:
		return ErrIsDir
	}
	return transfer.ErrPublished
}
