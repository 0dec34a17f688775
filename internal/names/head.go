package names

import (
	"context"
	"errors"
	"path"
	"time"

	"s3mount/internal/s3"
)

const (
	// maxAhead is how many names behind the asked one are asked for with it, when a
	// directory is walked.
	maxAhead = 256
	// headParallel is how many of them at once.
	headParallel = 64
	// maxNear is how many names a walk may leave out.
	maxNear = 8
)

// heading is a HEAD on its way, or one that waits for its turn.
type heading struct {
	asked  time.Time
	wanted chan struct{} // closed when somebody waits for the answer, who is not to wait for a turn
	done   chan struct{}
	o      s3.Object
	err    error
}

// head asks for one object, once for all who ask at the same time. Who asks for two in
// turn in one directory is taken to walk it, and gets the next ones ahead.
func (t *Tree) head(ctx context.Context, p string) (s3.Object, time.Time, error) {
	t.mu.Lock()
	h := t.begin(p, false, nil)
	t.headAhead(p)
	t.mu.Unlock()
	return h.wait(ctx)
}

func (h *heading) wait(ctx context.Context) (s3.Object, time.Time, error) {
	select {
	case <-h.done:
		return h.o, h.asked, h.err
	case <-ctx.Done():
		return s3.Object{}, h.asked, context.Cause(ctx)
	}
}

// begin joins or starts the HEAD of a path, or of the marker of a directory. turn limits
// how many run at once; nil: it goes at once, also where it was waiting for its turn. The
// caller holds t.mu.
func (t *Tree) begin(p string, dir bool, turn chan struct{}) *heading {
	slot, key := p, t.key(p)
	if dir {
		slot, key = p+"/", key+"/"
	}
	h := t.heads[slot]
	if h == nil {
		h = &heading{asked: time.Now(), wanted: make(chan struct{}), done: make(chan struct{})}
		t.heads[slot] = h
		go func() {
			select {
			case <-h.wanted:
			case turn <- struct{}{}:
				defer func() { <-turn }()
			}
			t.ask(h, p, key, dir)
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.heads, slot)
			t.answered(p, dir, h)
			close(h.done)
		}()
	}
	if turn == nil {
		select {
		case <-h.wanted:
		default:
			close(h.wanted)
		}
	}
	return h
}

// ask sends a HEAD.
func (t *Tree) ask(h *heading, p, key string, dir bool) {
	ctx := context.Background() // it ends by the client's own limits
	if dir {
		h.o, h.err = t.headMarker(ctx, p, key)
	} else {
		h.o, h.err = t.bucket.Head(ctx, key)
	}
}

// answered notes the answer to a HEAD. The caller holds t.mu.
func (t *Tree) answered(p string, dir bool, h *heading) {
	switch c, own := t.changes.get(p); {
	case dir && (h.err == nil || errors.Is(h.err, s3.ErrNotFound)):
		top, name := parent(p)
		if l := t.dirs[top]; l != nil && l.entries[name].kind == KindDir {
			l.put(name, entry{kind: KindDir, object: h.o, known: true})
		}
	case h.err == nil && !(own && c.at.After(h.asked)):
		t.opts.Attrs.Fetched(h.o)
		t.noteListing(p, &h.o)
	}
}

// headMarker asks what the marker of a directory carries. Where it may be remembered, a
// listing tells of which version, or that there is none.
func (t *Tree) headMarker(ctx context.Context, p, key string) (s3.Object, error) {
	if o, known := t.listedMarker(p); known && o == nil {
		return s3.Object{}, s3.ErrNotFound
	} else if known && o.HasProps {
		return *o, nil
	} else if _, seen := t.opts.Attrs.Knows(key, key); !known && seen {
		page, err := t.bucket.List(ctx, key, "", "", "", 2) // a limit of 1 hides children on MinIO
		if err != nil {
			return s3.Object{}, err
		}
		if len(page.Objects) == 0 || page.Objects[0].Key != key {
			return s3.Object{}, s3.ErrNotFound
		}
		if t.opts.Attrs.Recall(page.Objects); page.Objects[0].HasProps {
			return page.Objects[0], nil
		}
	}
	o, err := t.bucket.Head(ctx, key)
	if err == nil {
		t.opts.Attrs.Fetched(o)
	}
	return o, err
}

// listedMarker is the marker of a directory as its listing has it; nil: there is none.
func (t *Tree) listedMarker(p string) (o *s3.Object, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.dirs[p]; l != nil && (l.pages > 0 || l.complete) && t.believed(l) {
		return l.marker, true
	}
	dir, name := parent(p)
	if l := t.dirs[dir]; t.believed(l) && l.entries[name].known {
		e := l.entries[name]
		if !e.object.HasProps {
			return nil, true
		}
		return &e.object, true
	}
	return nil, false
}

// headBeside starts the HEAD of a name whose directory is about to be listed for it: who
// looks a single name up wants to open it, and its attributes come with the listing then,
// not a round trip after it. nil where nothing is to be learned. A name without an extension
// is probably a directory: then the HEAD of its marker goes with them.
func (t *Tree) headBeside(dir, p string) (file, marker *heading) {
	t.mu.Lock()
	n, key := t.nodes.at(p), t.key(p)
	listed := t.believed(t.dirs[dir]) || t.walkOver(dir) != nil
	t.mu.Unlock()
	if listed {
		return nil, nil
	}
	t.bucket.Expect() // it is read next
	if t.opts.ListedTimes || n != nil && n.kind == KindDir {
		return nil, nil
	}
	if it, below := t.opts.Attrs.Knows(key, key+"/"); it || below {
		return nil, nil // the listing tells of which version
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if path.Ext(p) == "" {
		marker = t.begin(p, true, nil)
	}
	return t.begin(p, false, nil), marker
}

// noteMarker notes what the HEAD of a marker has said, if that was before the listing was there.
// The caller holds t.mu.
func (t *Tree) noteMarker(p string, marker *heading) {
	if marker == nil {
		return
	}
	select {
	case <-marker.done:
		t.answered(p, true, marker)
	default:
	}
}

// complete adds to a listed object what the HEAD beside the listing has said of the same
// version, if it has answered.
func (h *heading) complete(o s3.Object) s3.Object {
	if h == nil {
		return o
	}
	select {
	case <-h.done:
		if h.err == nil && h.o.ETag == o.ETag && h.o.Size == o.Size && h.o.LastModified.Unix() == o.LastModified.Unix() {
			return h.o
		}
	default:
	}
	return o
}
