package names

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// renameDir moves a directory: the server copies the objects below it, and the files
// that are not published yet get their new names. Nothing is uploaded, and nothing is
// waited for but the copies.
func (t *Tree) renameDir(ctx context.Context, src *Node, p string) error {
	old := src.Path()
	if strings.HasPrefix(p+"/", old+"/") {
		return ErrInvalid
	}
	defer t.engine.ForbidCopies(t.key(old))()
	for _, top := range []string{t.key(old), t.key(p)} {
		if err := t.engine.SettleBelow(ctx, top, t.filesBelow(old)...); err != nil {
			return err
		}
	}
	defer t.hold(old)()
	from, to := t.key(old)+"/", t.key(p)+"/"
	objects, err := t.allBelow(ctx, from)
	if err != nil {
		return err
	}
	if err := t.keepParent(ctx, old); err != nil {
		return err
	}
	pending := map[*transfer.File]bool{} // never published
	for _, f := range t.filesBelow(old) {
		if f.Dirty() && f.Object() == nil {
			pending[f] = true
			objects = slices.DeleteFunc(objects, func(o s3.Object) bool { return o.Key == f.Key() })
		}
	}
	known := slices.Clone(objects)
	t.opts.Attrs.Recall(known)
	later, err := t.engine.MoveDir(ctx, from, to, objects, func(copies map[string]transfer.Copied) error {
		t.rememberMoved(known, copies)
		return t.moveNodes(old, p, copies, pending)
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doom(later)
	return err
}

// rememberMoved keeps what the objects carried under their new keys.
func (t *Tree) rememberMoved(known []s3.Object, copies map[string]transfer.Copied) {
	for _, o := range known {
		if c, ok := copies[o.Key]; ok && o.HasProps {
			o.Key, o.ETag, o.VersionID, o.Date = c.To.Key, c.To.ETag, c.To.VersionID, c.To.Date
			t.opts.Attrs.Wrote(o)
		}
	}
}

// filesBelow is the files in use below a directory, and its marker if that is not published.
func (t *Tree) filesBelow(dir string) []*transfer.File {
	t.mu.Lock()
	defer t.mu.Unlock()
	var files []*transfer.File
	take := func(_ string, n *Node) {
		if n != nil && n.file != nil {
			files = append(files, n.file)
		}
	}
	take(dir, t.nodes.at(dir))
	t.nodes.below(dir, take)
	return files
}

// hold lets no file below a directory be published until the returned function is
// called.
func (t *Tree) hold(dir string) (release func()) {
	files := t.filesBelow(dir)
	for _, f := range files {
		f.Detach()
	}
	return func() {
		for _, f := range files {
			f.Attach()
		}
	}
}

// allBelow lists every object below a prefix, without those of unlinked files that
// are still open.
func (t *Tree) allBelow(ctx context.Context, prefix string) ([]s3.Object, error) {
	var all []s3.Object
	token := ""
	for {
		page, err := t.bucket.List(ctx, prefix, "", "", token, pageSize)
		if err != nil {
			return nil, err
		}
		t.mu.Lock()
		for _, o := range page.Objects {
			if !t.isDoomed(&o) {
				all = append(all, o)
			}
		}
		t.mu.Unlock()
		if token = page.Next; token == "" {
			return all, nil
		}
	}
}

// moveNodes gives the nodes below a directory their new paths, and tells their
// files where the objects are now, by old key. Pending files are renamed by themselves.
func (t *Tree) moveNodes(old, p string, copies map[string]transfer.Copied, pending map[*transfer.File]bool) error {
	type pair struct {
		f   *transfer.File
		key string
		o   *s3.Object
	}
	var files []pair
	t.mu.Lock()
	if n := t.nodes.at(p); n != nil {
		t.detach(n)
	}
	var list []*Node
	if n := t.nodes.at(old); n != nil {
		list = append(list, n)
	}
	t.nodes.below(old, func(_ string, n *Node) { list = append(list, n) })
	for _, n := range list {
		c, ok := copies[n.fileKey()]
		o := c.To
		t.move(n, p+strings.TrimPrefix(n.path, old))
		if n.path == p {
			n.meta.CtimeNS = time.Now().UnixNano()
		}
		if ok {
			delete(t.doomed, o.Key)
			n.object.Key, n.object.ETag = o.Key, o.ETag
		}
		if n.file != nil {
			x := pair{f: n.file, key: n.fileKey()}
			if now := n.file.Object(); ok && now != nil && now.ETag == c.From.ETag {
				x.o = &o
			}
			files = append(files, x)
		}
	}
	for d := range t.dirs {
		if d == old || strings.HasPrefix(d, old+"/") || d == p || strings.HasPrefix(d, p+"/") {
			delete(t.dirs, d)
		}
	}
	t.changes.below(old, func(q string, _ change) { t.changes.del(q) })
	t.changes.below(p, func(q string, _ change) { t.changes.del(q) })
	t.noteDir(old, false)
	t.noteDir(p, true)
	t.bump(old)
	t.bump(p)
	t.mu.Unlock()
	var err error
	for _, x := range files {
		if pending[x.f] {
			err = errors.Join(err, x.f.RenameBelow(x.key))
		} else {
			err = errors.Join(err, x.f.Moved(x.key, x.o))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for f := range pending {
		t.doom(f.FormerObjects())
	}
	return err
}
