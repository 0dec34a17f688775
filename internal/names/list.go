package names

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// pageSize is how many keys one request lists.
const pageSize = 1000

// maxLink is the longest target of a symbolic link (PATH_MAX).
const maxLink = 4096

// ScratchPrefix begins the names of objects by which mounts find out what a store can.
// They are there for a moment, and never shown.
const ScratchPrefix = ".s3mount-probe-"

// listing is what a directory holds, as the bucket said at one time. Guarded by
// Tree.mu.
type listing struct {
	started  time.Time // when its first request was sent
	entries  map[string]entry
	names    []string // of entries, sorted; nil: to be made
	complete bool     // all pages are here
	marker   bool     // the directory has an object of its own
	asked    int      // HEADs that somebody waited for
	ahead    int      // index in names up to which HEADs were sent ahead
	loading  chan struct{}
	err      error
}

type entry struct {
	kind   Kind
	object s3.Object
}

// sizeKind is the kind that a listing tells: a small object may be a link.
func sizeKind(o *s3.Object) Kind {
	if o.Size > 0 && o.Size < maxLink && !o.HasProps {
		return KindUnknown
	}
	if o.HasProps {
		m := transfer.ReadMeta(o, transfer.Meta{Mode: transfer.ModeFile})
		return kindOf(m.Mode)
	}
	return KindFile
}

// addPage takes one page of the listing of dir. The caller holds t.mu.
func (t *Tree) addPage(l *listing, dir string, page s3.Page) (names []string) {
	prefix := t.dirKey(dir)
	add := func(name string, e entry) {
		if _, ok := l.entries[name]; !ok {
			names = append(names, name)
		}
		l.entries[name] = e
	}
	for _, p := range page.Prefixes {
		name := t.long.show(strings.TrimSuffix(strings.TrimPrefix(p, prefix), "/"))
		if e, ok := l.entries[name]; ok && e.kind != KindDir { // listed on an earlier page
			add(name+fileTwin, e)
		}
		add(name, entry{kind: KindDir})
	}
	for _, o := range page.Objects {
		if o.Key == prefix {
			l.marker = true
			continue
		}
		if strings.HasPrefix(o.Key[len(prefix):], ScratchPrefix) {
			continue
		}
		name := t.long.show(strings.TrimPrefix(o.Key, prefix))
		if e, ok := l.entries[name]; ok && e.kind == KindDir {
			name += fileTwin
		}
		add(name, entry{kind: sizeKind(&o), object: o})
	}
	return names
}

// listPage asks for one page of the listing of dir, with what is remembered of its objects.
func (t *Tree) listPage(ctx context.Context, dir, token string) (s3.Page, error) {
	page, err := t.bucket.List(ctx, t.dirKey(dir), "/", "", token, pageSize)
	t.opts.Attrs.Recall(page.Objects)
	return page, err
}

// correct lays our own changes over a listing that began before them. The caller
// holds t.mu.
func (t *Tree) correct(l *listing, dir string) {
	for p, c := range t.changes {
		d, name := parent(p)
		if d != dir || c.at.Before(l.started) {
			continue
		}
		if e, ok := l.entries[name]; ok && e.kind == KindDir {
			continue
		}
		if c.object == nil {
			delete(l.entries, name)
		} else {
			l.entries[name] = entry{kind: sizeKind(c.object), object: *c.object}
		}
	}
	l.names = nil
}

// listed returns a listing of the directory that is younger than the TTL; it may
// hold the first page only. One request serves all who ask at the same time.
func (t *Tree) listed(ctx context.Context, dir string) (*listing, error) {
	for {
		t.mu.Lock()
		l := t.dirs[dir]
		if l != nil && l.loading != nil {
			wait := l.loading
			t.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			if l.err != nil {
				return nil, l.err
			}
			return l, nil
		}
		if l != nil && l.err == nil && time.Since(l.started) < t.opts.TTL {
			t.mu.Unlock()
			return l, nil
		}
		l = &listing{started: time.Now(), entries: map[string]entry{}, loading: make(chan struct{})}
		t.dirs[dir] = l
		t.mu.Unlock()
		go t.load(context.WithoutCancel(ctx), l, dir)
	}
}

func (t *Tree) load(ctx context.Context, l *listing, dir string) {
	page, err := t.listPage(ctx, dir, "")
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.addPage(l, dir, page)
		l.complete = page.Next == ""
		t.correct(l, dir)
	}
	l.err = err
	close(l.loading)
	l.loading = nil
}

// Lookup finds a name in a directory.
func (t *Tree) Lookup(ctx context.Context, dir *Node, name string) (*Node, error) {
	if len(name) > maxName {
		return nil, ErrNameTooLong
	}
	return t.lookup(ctx, dir.Path(), name)
}

func (t *Tree) lookup(ctx context.Context, dir, name string) (*Node, error) {
	p := join(dir, name)
	t.mu.Lock()
	if n := t.nodes[p]; n != nil && n.file != nil && n.file.Dirty() {
		n.held = true
		t.mu.Unlock()
		return n, nil
	}
	t.mu.Unlock()
	beside := t.headBeside(dir, p)
	l, err := t.listed(ctx, dir)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	e, ok := l.entries[name]
	if ok && e.kind != KindDir {
		e.object = beside.complete(e.object)
		e.kind = sizeKind(&e.object)
	}
	complete, started := l.complete, l.started
	t.mu.Unlock()
	if !ok && !complete {
		if e, started, err = t.probe(ctx, p); err != nil {
			return nil, err
		}
		ok = e.kind != KindUnknown || e.object.Key != ""
	}
	return t.found(ctx, p, e, ok, started)
}

// probe asks for one path in a directory that is too large to be listed for it.
func (t *Tree) probe(ctx context.Context, p string) (entry, time.Time, error) {
	started := time.Now()
	type answer struct {
		page s3.Page
		err  error
	}
	below := make(chan answer, 1)
	go func() {
		if _, twin := unescape(p[strings.LastIndexByte(p, '/')+1:]); twin { // the object beside a directory
			below <- answer{}
			return
		}
		page, err := t.bucket.List(ctx, t.dirKey(p), "/", "", "", 2) // a limit of 1 hides children on MinIO
		below <- answer{page, err}
	}()
	o, err := t.bucket.Head(ctx, t.key(p))
	a := <-below
	if a.err != nil {
		return entry{}, started, a.err
	}
	if len(a.page.Objects)+len(a.page.Prefixes) > 0 {
		return entry{kind: KindDir}, started, nil
	}
	if errors.Is(err, s3.ErrNotFound) {
		return entry{}, started, nil
	}
	return entry{kind: sizeKind(&o), object: o}, started, err
}

// found turns what a listing says of a path into its node.
func (t *Tree) found(ctx context.Context, p string, e entry, ok bool, asked time.Time) (*Node, error) {
	if ok && e.kind == KindUnknown && t.opts.ListedTimes {
		e.kind = KindFile
	}
	if ok && e.kind == KindUnknown {
		o, at, err := t.head(ctx, p)
		asked = at
		switch {
		case errors.Is(err, s3.ErrNotFound):
			ok = false
		case err != nil:
			return nil, err
		default:
			e = entry{kind: sizeKind(&o), object: o}
		}
	}
	target := ""
	if ok && e.kind == KindLink {
		var err error
		if target, err = t.readTarget(ctx, p, &e.object); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[p]
	if n != nil && n.file != nil && n.file.Dirty() {
		n.held = true
		return n, nil
	}
	if ok && t.isDoomed(p, &e.object) {
		ok = false
	}
	if c, own := t.changes[p]; own && c.at.After(asked) && e.kind != KindDir {
		if ok = c.object != nil; ok {
			e = entry{kind: sizeKind(c.object), object: *c.object}
		}
	}
	if !ok {
		if n != nil {
			t.detach(n)
		}
		return nil, ErrNotExist
	}
	if n != nil && n.kind == e.kind && n.kind != KindDir && n.object.ETag != e.object.ETag && n.object.ETag != "" {
		t.renew(n, e.object)
	}
	n = t.node(p, e.kind)
	if e.kind == KindDir {
		if !n.exact {
			n.meta, n.meta.MtimeNS = t.defaults(KindDir), t.started.UnixNano()
		}
		if asked.After(n.checked) {
			n.checked = asked
		}
		return n, nil
	}
	t.learn(n, e.object, asked)
	if e.kind == KindLink {
		n.target = target
	}
	return n, nil
}

// readTarget fetches the target of a link.
func (t *Tree) readTarget(ctx context.Context, p string, o *s3.Object) (string, error) {
	t.mu.Lock()
	if n := t.nodes[p]; n != nil && n.kind == KindLink && n.object.ETag == o.ETag {
		defer t.mu.Unlock()
		return n.target, nil
	}
	t.mu.Unlock()
	body, _, err := t.bucket.GetRange(ctx, t.key(p), o.ETag, "", 0, o.Size)
	if err != nil {
		return "", err
	}
	defer body.Close()
	buf := make([]byte, o.Size)
	if _, err := io.ReadFull(body, buf); err != nil {
		return "", err
	}
	return string(buf), nil
}

// isDoomed tells whether the object waits to be deleted. One without an ETag was on its
// way into the bucket when the file left this name: whatever is there is taken for it.
// The caller holds t.mu.
func (t *Tree) isDoomed(p string, o *s3.Object) bool {
	return slices.ContainsFunc(t.doomed[t.key(p)], func(d transfer.ObjectRef) bool { return d.ETag == o.ETag || d.ETag == "" })
}
