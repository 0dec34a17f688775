package names

import (
	"context"
	"errors"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// Rename moves a file or a directory.
func (t *Tree) Rename(ctx context.Context, from *Node, oldName string, to *Node, newName string, noReplace bool) error {
	src, err := t.Lookup(ctx, from, oldName)
	if err != nil {
		return err
	}
	p, err := t.place(to, newName, src.kind)
	if err != nil {
		return err
	}
	dst, err := t.Lookup(ctx, to, newName)
	if errors.Is(err, ErrNotExist) {
		dst, err = nil, nil
	}
	if err != nil || dst == src {
		return err
	}
	if err := t.mayReplace(ctx, src, dst, noReplace); err != nil {
		return err
	}
	if src.kind == KindDir {
		err = t.renameDir(ctx, src, p)
	} else {
		err = t.renameFile(ctx, src, dst, p)
	}
	return err
}

func (t *Tree) mayReplace(ctx context.Context, src, dst *Node, noReplace bool) error {
	switch {
	case dst == nil:
		return nil
	case noReplace:
		return ErrExist
	case src.kind == KindDir && dst.kind != KindDir:
		return ErrNotDir
	case src.kind != KindDir && dst.kind == KindDir:
		return ErrIsDir
	case dst.kind == KindDir:
		return t.isEmpty(ctx, dst.Path())
	}
	return nil
}

// renameFile moves one file or link. What is not published yet moves at once; a
// published object is copied by the server.
func (t *Tree) renameFile(ctx context.Context, src, dst *Node, p string) error {
	old := src.Path()
	f, err := src.use(ctx, true)
	if err != nil {
		return err
	}
	if err := t.keepParent(ctx, old); err != nil {
		return err
	}
	var replaced *s3.Object
	var moved []transfer.ObjectRef
	var victim *transfer.File
	if dst != nil {
		if victim, err = dst.use(ctx, false); err != nil {
			return err
		}
	}
	defer t.engine.ForbidCopies(t.key(p))() // the object there is about to go
	if err := t.settle(ctx, p, f, victim); err != nil {
		return err
	}
	unpublished := f.Dirty()
	if unpublished {
		if victim != nil {
			replaced, moved = victim.Detach()
			err = f.Rename(t.key(p), replaced, moved, victim)
		} else {
			err = f.Rename(t.key(p), t.doomedAt(t.key(p)), nil)
		}
	} else {
		moved, err = t.engine.MoveObject(ctx, f, t.key(p), victim, t.doomedAt(t.key(p)))
	}
	if err != nil {
		if victim != nil {
			victim.Attach()
		}
		return err
	}
	if victim != nil {
		victim.Drop() // where MoveObject has not
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if dst != nil {
		t.detach(dst)
		t.reap(dst)
	}
	t.move(src, p)
	if o := f.Object(); !f.Dirty() && o != nil {
		src.object, src.checked = *o, time.Now()
		t.record(p, o)
	}
	if unpublished {
		moved = f.FormerObjects()
	}
	t.doom(moved)
	t.record(old, nil)
	t.bump(old)
	t.bump(p)
	return err
}

func (t *Tree) settle(ctx context.Context, p string, f, victim *transfer.File) error {
	if victim == nil {
		victim = f
	}
	return t.engine.Settle(ctx, t.key(p), f, victim)
}

// move gives a node another path. The caller holds t.mu.
func (t *Tree) move(n *Node, p string) {
	if t.nodes.at(n.path) == n {
		t.nodes.del(n.path)
	}
	n.path = p
	t.nodes.set(p, n)
}
