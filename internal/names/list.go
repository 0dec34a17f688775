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
	if n := t.nodes.at(p); n != nil && n.file != nil && n.file.Dirty() {
		n.held = true
		t.mu.Unlock()
		return n, nil
	}
	if !t.believed(t.dirs[dir]) {
		t.stepped(dir, false)
	}
	t.mu.Unlock()
	beside, marker := t.headBeside(dir, p)
	l, err := t.listed(ctx, dir)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	e, ok := l.entries[name]
	for !ok && l.ranOut() {
		t.demand(l, l.pages+1)
		if err := t.await(ctx, l.news); err != nil {
			t.mu.Unlock()
			return nil, err
		}
		e, ok = l.entries[name]
	}
	if ok {
		t.looked(l, e.at)
	}
	if ok && e.kind != KindDir && !e.kept {
		e.object = beside.complete(e.object)
		e.kind = sizeKind(&e.object)
	}
	if ok && e.kind == KindDir {
		t.noteMarker(p, marker)
	}
	complete, heard := l.complete, l.heard
	if n := t.nodes.at(p); ok && t.knows(n, e, heard) {
		t.mu.Unlock()
		return n, nil
	}
	t.mu.Unlock()
	if !ok && !complete {
		if e, heard, err = t.probe(ctx, p); err != nil {
			return nil, err
		}
		ok = e.kind != KindUnknown || e.object.Key != ""
	}
	return t.found(ctx, p, t.whole(e), ok, heard)
}

// looked notes that somebody looks an entry up. Who looks up one after the other gets the
// next page ahead. The caller holds t.mu.
func (t *Tree) looked(l *listing, at int) {
	l.inTurn = at > l.looked && at-l.looked <= maxNear
	l.looked = at
	if l.inTurn && at >= len(l.order)-pageSize/2 {
		t.demand(l, l.pages+1)
	}
}

// ranOut tells whether somebody who looks up one entry after the other has come to the end
// of the pages that are here.
func (l *listing) ranOut() bool {
	return l.inTurn && l.looked >= len(l.order)-maxNear && !l.complete && l.err == nil
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

// knows tells whether a node knows already what is remembered of the version that a
// listing names at its path, and notes when it did. The caller holds t.mu.
func (t *Tree) knows(n *Node, e entry, heard time.Time) bool {
	if !e.kept || n == nil || n.gone || !n.exact || n.kind != e.kind || n.file != nil && n.file.Dirty() {
		return false
	}
	if o := &n.object; o.ETag != e.object.ETag || o.Size != e.object.Size || o.LastModified.Unix() != e.object.LastModified.Unix() {
		return false
	}
	if c, own := t.changes.get(n.path); own && c.at.After(heard) || t.isDoomed(&e.object) {
		return false
	}
	n.held = true
	if heard.After(n.checked) {
		n.checked = heard
	}
	return true
}

// found turns what a listing says of a path into its node, with a request for what it does
// not say.
func (t *Tree) found(ctx context.Context, p string, e entry, ok bool, asked time.Time) (*Node, error) {
	if ok && e.kind == KindUnknown && !t.opts.ListedTimes {
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
	return t.nodeOf(p, e, ok, asked, target)
}

// nodeOf is the node that an entry gives its path, with our own changes laid over it. The caller holds
// t.mu.
func (t *Tree) nodeOf(p string, e entry, ok bool, asked time.Time, target string) (*Node, error) {
	if ok && e.kind == KindUnknown {
		e.kind = KindFile
	}
	n := t.nodes.at(p)
	if n != nil && n.file != nil && n.file.Dirty() {
		n.held = true
		return n, nil
	}
	if ok && t.isDoomed(&e.object) {
		ok = false
	}
	if c, own := t.changes.get(p); own && c.at.After(asked) && e.kind != KindDir {
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
	if e.kind == KindLink && target != "" {
		n.target = target
	}
	return n, nil
}

// knownTarget is the target of a link of which this version was seen before. The caller
// holds t.mu.
func (t *Tree) knownTarget(p string, o *s3.Object) (string, bool) {
	if n := t.nodes.at(p); n != nil && n.kind == KindLink && n.object.ETag == o.ETag {
		return n.target, true
	}
	return "", false
}

// readTarget fetches the target of a link.
func (t *Tree) readTarget(ctx context.Context, p string, o *s3.Object) (string, error) {
	t.mu.Lock()
	target, ok := t.knownTarget(p, o)
	t.mu.Unlock()
	if ok {
		return target, nil
	}
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
// way into the bucket when the file left this name: what is there is taken for it, unless
// it is known to be another one. The caller holds t.mu.
func (t *Tree) isDoomed(o *s3.Object) bool {
	list := t.doomed[o.Key]
	if len(list) == 0 {
		return false
	}
	known := []s3.Object{*o}
	if !o.HasProps {
		t.opts.Attrs.Recall(known)
	}
	return slices.ContainsFunc(list, func(d transfer.ObjectRef) bool { return transfer.MayBe(&known[0], d) })
}
