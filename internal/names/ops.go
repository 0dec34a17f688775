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

// maxKey is the longest key.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxKey = 1024

// place checks that a new name can be made in a directory, and returns its path.
func (t *Tree) place(dir *Node, name string) (string, error) {
	if t.opts.ReadOnly {
		return "", ErrReadOnly
	}
	if len(name) > maxName {
		return "", ErrNameTooLong
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || ambiguous(name) {
		return "", ErrInvalid
	}
	p := join(dir.Path(), name)
	if len(t.key(p)) > maxKey-1 { // a directory's has a slash behind
		return "", ErrNameTooLong
	}
	return p, nil
}

// Create makes a file, or opens the one that is there unless excl is set. The file
// has been opened for writing.
func (t *Tree) Create(ctx context.Context, dir *Node, name string, mode, uid, gid uint32, excl bool) (*Node, *transfer.File, error) {
	p, err := t.place(dir, name)
	if err != nil {
		return nil, nil, err
	}
	n, err := t.Lookup(ctx, dir, name)
	if err == nil {
		if excl {
			return nil, nil, ErrExist
		}
		if n.kind == KindDir {
			return nil, nil, ErrIsDir
		}
		f, err := n.Open(ctx, true, false)
		return n, f, err
	}
	if !errors.Is(err, ErrNotExist) {
		return nil, nil, err
	}
	meta := transfer.Meta{Mode: transfer.ModeFile | mode&0o7777, UID: uid, GID: gid, MtimeNS: time.Now().UnixNano()}
	if err := t.inherit(ctx, dir, &meta); err != nil {
		return nil, nil, err
	}
	return t.create(p, KindFile, meta)
}

// inherit gives what is made in a directory with setgid its group, and directories the
// setgid too.
func (t *Tree) inherit(ctx context.Context, dir *Node, m *transfer.Meta) error {
	if !t.opts.ListedTimes { // else what is not known stays so
		if err := dir.makeExact(ctx); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if dir.meta.Mode&setgid == 0 {
		return nil
	}
	m.GID = dir.meta.GID
	if kindOf(m.Mode) == KindDir {
		m.Mode |= setgid
	}
	return nil
}

const setgid = 0o2000

func (t *Tree) create(p string, kind Kind, meta transfer.Meta) (*Node, *transfer.File, error) {
	key := t.key(p)
	f, err := t.engine.Create(key, t.doomedAt(key), meta)
	if err != nil {
		return nil, nil, err
	}
	if err := f.OpenHandle(true); err != nil {
		return nil, nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.nodes.at(p); old != nil {
		t.detach(old)
	}
	n := t.node(p, kind)
	n.file, n.meta, n.exact, n.checked = f, meta, true, time.Now()
	t.bump(p)
	return n, f, nil
}

// doomedAt is the object that the bucket still has at a key where no file is any
// more; nil when there is none.
func (t *Tree) doomedAt(key string) *s3.Object {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.doomed[key]
	if len(d) == 0 || d[len(d)-1].ETag == "" {
		return nil
	}
	return &s3.Object{Key: key, ETag: d[len(d)-1].ETag}
}

// bump sets the time of the directory that p is in. The caller holds t.mu.
func (t *Tree) bump(p string) {
	dir, _ := parent(p)
	if n := t.nodes.at(dir); n != nil {
		n.meta.MtimeNS, n.meta.CtimeNS = time.Now().UnixNano(), 0
	}
}

// Mkdir makes a directory: an empty object whose key ends with a slash.
func (t *Tree) Mkdir(ctx context.Context, dir *Node, name string, mode, uid, gid uint32) (*Node, error) {
	p, err := t.place(dir, name)
	if err != nil {
		return nil, err
	}
	if _, err := t.Lookup(ctx, dir, name); !errors.Is(err, ErrNotExist) {
		return nil, errors.Join(err, orExist(err))
	}
	meta := transfer.Meta{Mode: transfer.ModeDir | mode&0o7777, UID: uid, GID: gid, MtimeNS: time.Now().UnixNano()}
	if err := t.inherit(ctx, dir, &meta); err != nil {
		return nil, err
	}
	if err := t.engine.Settle(ctx, t.key(p)); err != nil { // a file that left the name may still have its object there
		return nil, err
	}
	marker, err := t.putMarker(ctx, p, &meta)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.node(p, KindDir)
	n.meta, n.exact, n.checked = meta, true, time.Now()
	l := newListing(p)
	l.complete, l.pages, l.marker = true, 1, &marker
	t.dirs[p] = l
	t.noteDir(p, true)
	t.bump(p)
	return n, nil
}

func orExist(err error) error {
	if err == nil {
		return ErrExist
	}
	return nil
}

// noteDir corrects the listing of the parent. The caller holds t.mu.
func (t *Tree) noteDir(p string, there bool) {
	dir, name := parent(p)
	l := t.dirs[dir]
	if l == nil {
		return
	}
	if there {
		l.put(name, entry{kind: KindDir})
	} else {
		l.drop(name)
	}
}

// Symlink makes a symbolic link: an object whose bytes are the target.
func (t *Tree) Symlink(ctx context.Context, dir *Node, name, target string, uid, gid uint32) (*Node, error) {
	p, err := t.place(dir, name)
	if err != nil {
		return nil, err
	}
	if len(target) >= maxLink {
		return nil, ErrNameTooLong
	}
	if _, err := t.Lookup(ctx, dir, name); !errors.Is(err, ErrNotExist) {
		return nil, errors.Join(err, orExist(err))
	}
	meta := transfer.Meta{Mode: transfer.ModeLink | 0o777, UID: uid, GID: gid, MtimeNS: time.Now().UnixNano()}
	if err := t.inherit(ctx, dir, &meta); err != nil {
		return nil, err
	}
	n, f, err := t.create(p, KindLink, meta)
	if err != nil {
		return nil, err
	}
	defer f.CloseHandle(true)
	t.mu.Lock()
	n.target = target
	t.mu.Unlock()
	_, err = f.WriteAt(ctx, []byte(target), 0)
	if err == nil {
		err = f.Flush(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, t.Unlink(ctx, dir, name))
	}
	return n, nil
}

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
	_, err = t.putMarker(ctx, dir, &meta)
	return err
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
	if err := t.bucket.Delete(ctx, t.key(p)+"/"); err != nil {
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
	page, err := t.bucket.List(ctx, prefix, "", "", "", min(2+doomed, pageSize))
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range page.Objects {
		if (o.Key != prefix || marker) && !t.isDoomed(&o) {
			return true, nil
		}
	}
	return page.Next != "", nil
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

// StatFS is what statfs(2) shows. A bucket has no size: the numbers are large,
// stable, and leave room for every copy.
type StatFS struct {
	BlockSize                             uint32
	Blocks, Free, Avail, Files, FilesFree uint64
	NameLen                               uint32
}

// StatFS answers statfs(2).
func (t *Tree) StatFS(ctx context.Context) (StatFS, error) {
	const blocks, files = 1 << 38, 1 << 32 // 1 PiB of 4 KiB blocks
	return StatFS{BlockSize: 4096, Blocks: blocks, Free: blocks, Avail: blocks, Files: files, FilesFree: files, NameLen: maxName}, nil
}
