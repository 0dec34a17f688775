package names

import (
	"cmp"
	"context"
	"time"

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
	meta, p, f := n.meta, n.path, n.file
	t.mu.Unlock()
	if f != nil && f.Dirty() { // see makeMarker
		err := f.SetMeta(change)
		t.mu.Lock()
		defer t.mu.Unlock()
		n.meta = f.Meta()
		return err
	}
	change(&meta)
	meta.CtimeNS = time.Now().UnixNano()
	if p != "" {
		if _, err := t.putMarker(ctx, p, &meta, ""); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n.meta, n.exact, n.checked = meta, true, time.Now()
	return nil
}
