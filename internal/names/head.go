package names

import (
	"context"
	"slices"
	"time"

	"s3mount/internal/s3"
)

const (
	// headAhead is how many names behind the asked one are asked for with it, when a
	// directory is walked.
	headAhead = 256
	// headParallel is how many of them at once.
	headParallel = 64
)

// heading is a HEAD on its way, or one that waits for its turn.
type heading struct {
	asked time.Time
	done  chan struct{}
	o     s3.Object
	err   error
}

// head asks for one object, once for all who ask at the same time. Who asks a
// second time in one directory is taken to walk it, and gets the next ones ahead.
func (t *Tree) head(ctx context.Context, p string) (s3.Object, time.Time, error) {
	t.mu.Lock()
	h := t.begin(p, nil)
	t.headSiblings(p)
	t.mu.Unlock()
	select {
	case <-h.done:
		return h.o, h.asked, h.err
	case <-ctx.Done():
		return s3.Object{}, h.asked, context.Cause(ctx)
	}
}

// begin joins or starts the HEAD of a path. turn limits how many run at once; nil:
// at once. The caller holds t.mu.
func (t *Tree) begin(p string, turn chan struct{}) *heading {
	if h := t.heads[p]; h != nil {
		return h
	}
	h := &heading{asked: time.Now(), done: make(chan struct{})}
	t.heads[p] = h
	key := t.key(p)
	go func() {
		if turn != nil {
			turn <- struct{}{}
			defer func() { <-turn }()
		}
		h.o, h.err = t.bucket.Head(context.Background(), key) // ends by the client's own limits
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.heads, p)
		if c, own := t.changes[p]; h.err == nil && !(own && c.at.After(h.asked)) {
			t.opts.Attrs.Fetched(h.o)
			t.noteListing(p, &h.o)
		}
		close(h.done)
	}()
	return h
}

// headBeside starts the HEAD of a name whose directory is about to be listed for it: who
// looks a single name up wants to open it, and its attributes come with the listing then,
// not a round trip after it. nil where nothing is to be learned.
func (t *Tree) headBeside(dir, p string) *heading {
	t.mu.Lock()
	l, n, key := t.dirs[dir], t.nodes[p], t.key(p)
	believed := l != nil && l.loading == nil && l.err == nil && time.Since(l.started) < t.opts.TTL
	t.mu.Unlock()
	if believed || t.opts.ListedTimes || n != nil && n.kind == KindDir {
		return nil
	}
	if it, below := t.opts.Attrs.Knows(key, key+"/"); it || below {
		return nil // the listing tells of which version
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.begin(p, nil)
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

// headSiblings asks for the names behind p that nobody knows yet. The caller holds
// t.mu.
func (t *Tree) headSiblings(p string) {
	dir, name := parent(p)
	l := t.dirs[dir]
	if l == nil || l.loading != nil {
		return
	}
	if l.asked++; l.asked < 2 {
		return
	}
	names := l.sorted()
	at, _ := slices.BinarySearch(names, name)
	end := min(at+headAhead, len(names))
	for ; l.ahead < end; l.ahead++ {
		if l.ahead <= at {
			continue
		}
		e := l.entries[names[l.ahead]]
		if e.kind == KindDir || e.object.HasProps {
			continue
		}
		t.begin(join(dir, names[l.ahead]), t.turns)
	}
}
