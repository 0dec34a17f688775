package names

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// maxKey is the longest key.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxKey = 1024

// place checks that a new name can be made in a directory, and returns its path.
func (t *Tree) place(dir *Node, name string, kind Kind) (string, error) {
	if t.opts.ReadOnly {
		return "", ErrReadOnly
	}
	if len(name) > maxName {
		return "", ErrNameTooLong
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || ambiguous(name) {
		return "", ErrInvalid
	}
	if !utf8.ValidString(name) { // keys are UTF-8: stores refuse others, some only once the file was closed
		return "", ErrNotUTF8
	}
	p := join(dir.Path(), name)
	key := t.key(p)
	if kind == KindDir {
		key = t.dirKey(p)
	}
	if len(key) > maxKey {
		return "", ErrNameTooLong
	}
	return p, nil
}

// Create makes a file, or opens the one that is there unless excl is set. The file
// has been opened for writing.
func (t *Tree) Create(ctx context.Context, dir *Node, name string, mode, uid, gid uint32, excl bool) (*Node, *transfer.File, error) {
	p, err := t.place(dir, name, KindFile)
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
	p, err := t.place(dir, name, KindDir)
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
	marker, later, err := t.makeMarker(ctx, p, &meta)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.node(p, KindDir)
	n.file, n.meta, n.exact, n.checked = later, meta, true, time.Now()
	l := newListing(p)
	l.complete, l.pages, l.marker = true, 1, marker
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
	for l := t.dirs[dir]; l != nil; l = l.before {
		if there {
			l.put(name, entry{kind: KindDir})
		} else {
			l.drop(name)
		}
	}
}

// Symlink makes a symbolic link: an object whose bytes are the target.
func (t *Tree) Symlink(ctx context.Context, dir *Node, name, target string, uid, gid uint32) (*Node, error) {
	p, err := t.place(dir, name, KindLink)
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
