package names

import (
	"context"
	"path"
	"strings"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// renew gives the node the version that another client wrote. It refuses while
// somebody has the old version open: that keeps its node, the name gets a new one.
// The caller holds t.mu.
func (t *Tree) renew(n *Node, o s3.Object) bool {
	f := n.file
	if f == nil {
		return true
	}
	if f.InUse() {
		t.detach(n)
		return false
	}
	n.file = nil
	go f.Forget()
	return true
}

// use returns the node's File.
func (n *Node) use(ctx context.Context, exact bool) (*transfer.File, error) {
	if exact {
		if err := n.makeExact(ctx); err != nil {
			return nil, err
		}
	}
	t := n.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.kind == KindDir {
		return nil, ErrIsDir
	}
	if n.file == nil {
		if n.gone {
			return nil, transfer.ErrStale
		}
		o := n.object
		o.Key = t.key(n.path)
		n.file = t.engine.Open(o, n.meta)
	}
	return n.file, nil
}

// Open opens a file. It is the same File as long as the bytes are those of one version,
// or were written here.
func (n *Node) Open(ctx context.Context, write, trunc bool) (*transfer.File, error) {
	t := n.tree
	if write && t.opts.ReadOnly {
		return nil, ErrReadOnly
	}
	if err := n.revalidate(ctx); err != nil {
		return nil, err
	}
	f, err := n.use(ctx, write)
	if err != nil {
		return nil, err
	}
	if err := n.archived(); err != nil && !trunc {
		return nil, err
	}
	if err := f.OpenHandle(write); err != nil {
		return nil, err
	}
	if trunc {
		if err := f.Clear(ctx); err != nil {
			f.CloseHandle(write)
			return nil, err
		}
	}
	return f, nil
}

// archived tells that the bytes are in an archive class.
func (n *Node) archived() error {
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	if n.object.Archived && (n.file == nil || !n.file.Dirty()) {
		return s3.ErrArchived
	}
	return nil
}

// revalidate asks whether the node is still the bucket's present version, when the
// last word is older than the TTL.
func (n *Node) revalidate(ctx context.Context) error {
	t := n.tree
	t.mu.Lock()
	fresh := n.gone || n == t.root || time.Since(n.checked) < t.opts.TTL || n.file != nil && n.file.Dirty()
	dir, name := path.Split(n.path)
	t.mu.Unlock()
	if fresh {
		return nil
	}
	now, err := t.lookup(ctx, strings.TrimSuffix(dir, "/"), name)
	if err != nil {
		return err
	}
	if now != n {
		return transfer.ErrStale // the kernel looks the name up again
	}
	return nil
}

// Readlink is the target of a link.
func (n *Node) Readlink(ctx context.Context) (string, error) {
	if n.kind != KindLink {
		return "", ErrInvalid
	}
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	return n.target, nil
}
