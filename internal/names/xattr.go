package names

import (
	"context"
	"maps"
	"slices"
	"strings"

	"s3mount/transfer"
)

// Flags of SetXattr, as in setxattr(2).
const (
	XattrCreate  = 1
	XattrReplace = 2
)

// Xattr is the value of an extended attribute.
func (n *Node) Xattr(ctx context.Context, name string) ([]byte, error) {
	if err := supported(name); err != nil {
		return nil, err
	}
	x, err := n.xattrs(ctx)
	if err != nil {
		return nil, err
	}
	v, ok := x[name]
	if !ok {
		return nil, ErrNoAttr
	}
	return v, nil
}

// ListXattr is the names of the extended attributes, sorted.
func (n *Node) ListXattr(ctx context.Context) ([]string, error) {
	x, err := n.xattrs(ctx)
	return slices.Sorted(maps.Keys(x)), err
}

func (n *Node) xattrs(ctx context.Context) (map[string][]byte, error) {
	if err := n.makeExact(ctx); err != nil {
		return nil, err
	}
	t := n.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.file != nil {
		return n.file.Meta().Xattrs, nil
	}
	return n.meta.Xattrs, nil
}

// SetXattr sets an extended attribute.
func (n *Node) SetXattr(ctx context.Context, name string, v []byte, flags int) error {
	if n.tree.opts.ReadOnly {
		return ErrReadOnly
	}
	if supported(name) != nil {
		return ErrNotSupported
	}
	old, err := n.xattrs(ctx)
	if err != nil {
		return err
	}
	_, exists := old[name]
	if exists && flags&XattrCreate != 0 {
		return ErrExist
	}
	if !exists && flags&XattrReplace != 0 {
		return ErrNoAttr
	}
	x := maps.Clone(old)
	if x == nil {
		x = map[string][]byte{}
	}
	x[name] = slices.Clone(v)
	if metaSize(n.foreign(), x) > maxMeta {
		return ErrNoSpace
	}
	return n.setMeta(ctx, func(m *transfer.Meta) { m.Xattrs = x })
}

// RemoveXattr removes an extended attribute.
func (n *Node) RemoveXattr(ctx context.Context, name string) error {
	if n.tree.opts.ReadOnly {
		return ErrReadOnly
	}
	old, err := n.xattrs(ctx)
	if err != nil {
		return err
	}
	if _, ok := old[name]; !ok {
		return ErrNoAttr
	}
	x := maps.Clone(old)
	delete(x, name)
	return n.setMeta(ctx, func(m *transfer.Meta) { m.Xattrs = x })
}

// supported tells whether an attribute name is one that is kept.
func supported(name string) error {
	switch space, rest, ok := strings.Cut(name, "."); {
	case !ok || rest == "":
		return ErrNotSupported
	case space == "user" || space == "com" || space == "org" || space == "net":
		return nil // macOS names have no "user." in front
	case space == "security" || space == "trusted":
		return ErrNoAttr
	}
	return ErrNotSupported
}

// maxMeta is the most bytes of user metadata that an object may carry.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
const maxMeta = 2048

// foreign is the node's user metadata that other clients wrote.
func (n *Node) foreign() map[string]string {
	t := n.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.file != nil {
		return n.file.Meta().Foreign
	}
	return n.meta.Foreign
}

// metaSize is the most bytes that user metadata with these takes.
func metaSize(foreign map[string]string, x map[string][]byte) int {
	m := transfer.Meta{Mode: transfer.ModeFile | 0o777, UID: 1 << 31, GID: 1 << 31, MtimeNS: 1 << 61, AtimeNS: 1<<61 + 1, CtimeNS: 1<<61 + 1, Foreign: foreign, Xattrs: x}
	n := 0
	for k, v := range transfer.Properties(&m, "x", strings.Repeat("0", 32)).Meta {
		n += len(k) + len(v)
	}
	return n
}
