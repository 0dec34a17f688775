package names

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// Change is what setattr(2) and its kin ask for; nil fields stay.
type Change struct {
	Size           *int64
	Mode, UID, GID *uint32
	Atime, Mtime   *time.Time
}

// SetAttr changes attributes. A size reaches the bucket with the next close, the
// rest after a pause, in one request.
func (n *Node) SetAttr(ctx context.Context, c Change) (Attr, error) {
	if n.tree.opts.ReadOnly {
		return Attr{}, ErrReadOnly
	}
	if c.Size != nil {
		if err := n.truncate(ctx, *c.Size); err != nil {
			return Attr{}, err
		}
	}
	if c.Mode != nil || c.UID != nil || c.GID != nil || c.Atime != nil || c.Mtime != nil {
		if err := n.setMeta(ctx, func(m *transfer.Meta) { c.apply(m) }); err != nil {
			return Attr{}, err
		}
	}
	return n.Attr(ctx)
}

func (c *Change) apply(m *transfer.Meta) {
	if c.Mode != nil {
		m.Mode = m.Mode&transfer.ModeType | *c.Mode&0o7777
	}
	if c.UID != nil {
		m.UID = *c.UID
	}
	if c.GID != nil {
		m.GID = *c.GID
	}
	if c.Atime != nil {
		m.AtimeNS = cmp.Or(nanoseconds(*c.Atime), 1) // 0 is none
	}
	if c.Mtime != nil {
		m.MtimeNS = nanoseconds(*c.Mtime)
	}
}

// nanoseconds since 1970, of the nearest time that can be kept.
func nanoseconds(t time.Time) int64 {
	const most = transfer.MaxTime
	return time.Unix(min(max(t.Unix(), -most), most), int64(t.Nanosecond())).UnixNano()
}

func (n *Node) truncate(ctx context.Context, size int64) error {
	if n.kind != KindFile {
		return ErrIsDir
	}
	f, err := n.use(ctx, true)
	if err != nil {
		return err
	}
	if err := f.OpenHandle(true); err != nil {
		return err
	}
	defer f.CloseHandle(true)
	if err := f.Truncate(ctx, size); err != nil {
		return err
	}
	return f.Flush(ctx)
}

// setMeta changes what the node carries.
func (n *Node) setMeta(ctx context.Context, change func(*transfer.Meta)) error {
	if n.kind == KindDir {
		return n.setDirMeta(ctx, change)
	}
	f, err := n.use(ctx, true)
	if err != nil {
		return err
	}
	return f.SetMeta(change)
}

// setDirMeta writes the directory's marker anew.
func (n *Node) setDirMeta(ctx context.Context, change func(*transfer.Meta)) error {
	if err := n.makeExact(ctx); err != nil {
		return err
	}
	t := n.tree
	t.mu.Lock()
	meta, p := n.meta, n.path
	t.mu.Unlock()
	change(&meta)
	meta.CtimeNS = time.Now().UnixNano()
	if p != "" {
		if _, err := t.putMarker(ctx, p, &meta); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n.meta, n.exact, n.checked = meta, true, time.Now()
	return nil
}

// putMarker writes the object that stands for a directory.
func (t *Tree) putMarker(ctx context.Context, p string, meta *transfer.Meta) (s3.Object, error) {
	key := t.key(p) + "/"
	crc := uint64(0)
	props := transfer.Properties(meta, key, "")
	o, err := t.bucket.Put(ctx, key, strings.NewReader(""), 0, &crc, props, s3.Cond{})
	if err != nil {
		return s3.Object{}, err
	}
	props.SSE, props.SSEKMSKey, props.BucketKey = o.Props.SSE, o.Props.SSEKMSKey, o.Props.BucketKey
	o.Props, o.HasProps = props, true
	t.opts.Attrs.Wrote(o)
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.dirs[p]; l != nil {
		l.marker = &o
	}
	if n := t.nodes.at(p); n != nil {
		n.object = o
	}
	return o, nil
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

// Flags of SetXattr, as in setxattr(2).
const (
	XattrCreate  = 1
	XattrReplace = 2
)

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
