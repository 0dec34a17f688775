package names

import (
	"context"
	"errors"
	"strings"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/sum"
	"s3mount/transfer"
)

// putMarker writes the object that stands for a directory. It carries the ID of the publication
// where there is one.
func (t *Tree) putMarker(ctx context.Context, p string, meta *transfer.Meta, publication string) (s3.Object, error) {
	key := t.key(p) + "/"
	props := transfer.Properties(meta, key, publication)
	o, err := t.bucket.Put(ctx, key, strings.NewReader(""), 0, &sum.Sums{}, props, s3.Cond{})
	if err != nil {
		return s3.Object{}, err
	}
	props.SSE, props.SSEKMSKey, props.BucketKey = o.Props.SSE, o.Props.SSEKMSKey, o.Props.BucketKey
	o.Props, o.HasProps = props, true
	t.opts.Attrs.Wrote(o)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notePut(p, o)
	return o, nil
}

// notePut notes the marker that a directory has. The caller holds t.mu.
func (t *Tree) notePut(p string, o s3.Object) {
	if l := t.dirs[p]; l != nil {
		l.marker = &o
	}
	if n := t.nodes.at(p); n != nil {
		n.object = o
	}
}

// makeMarker makes the marker of a new directory: in the bucket, or where that cannot be
// reached in the journal, as an empty file that is published like any other. Whoever knows that
// nothing is answered does not ask: a program that copies a tree makes many directories. A request
// without an answer may have made it all the same: by its publication that is known, for one
// that is removed or renamed before it is published.
func (t *Tree) makeMarker(ctx context.Context, p string, meta *transfer.Meta) (*s3.Object, *transfer.File, error) {
	publication := ""
	if t.bucket.Traffic().FailingSince.IsZero() {
		publication = transfer.NewPublication()
		o, err := t.putMarker(ctx, p, meta, publication)
		if err == nil {
			return &o, nil, nil
		}
		if !s3.Retryable(err) {
			return nil, nil, err
		}
	}
	f, err := t.engine.CreateUnheard(t.key(p)+"/", *meta, publication)
	if err != nil {
		return nil, nil, err
	}
	if err := f.OpenHandle(true); err != nil {
		return nil, nil, err
	}
	defer f.CloseHandle(true)
	if err := f.Flush(context.WithoutCancel(ctx)); err != nil {
		_, gone := t.engine.Remove(ctx, f)
		return nil, nil, errors.Join(err, gone)
	}
	return nil, f, nil
}

// pathOf is the path of a file, or of the directory whose marker it is.
func (t *Tree) pathOf(f *transfer.File) (string, bool) {
	key := f.Key()
	if kindOf(f.Meta().Mode) == KindDir {
		key = strings.TrimSuffix(key, "/")
	}
	return t.path(key)
}

// fileKey is the key of the node's object. The caller holds t.mu.
func (n *Node) fileKey() string {
	if n.kind == KindDir {
		return n.tree.key(n.path) + "/"
	}
	return n.tree.key(n.path)
}

// markerMade notes that a marker has come from the journal into the bucket. The caller
// holds t.mu.
func (t *Tree) markerMade(n *Node, o s3.Object) {
	t.opts.Attrs.Wrote(o)
	t.notePut(n.path, o)
	n.checked = time.Now()
	t.noteDir(n.path, true)
}

// dropMarker deletes the marker of a directory, or ends its publication.
func (t *Tree) dropMarker(ctx context.Context, n *Node, p string) error {
	t.mu.Lock()
	f := n.file
	t.mu.Unlock()
	if f == nil {
		return t.bucket.Delete(ctx, t.key(p)+"/")
	}
	later, err := t.engine.Remove(ctx, f)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doom(later)
	return err
}

// neverThere tells whether the bucket has never had the directory's marker, as far as we know. The
// caller holds t.mu.
func (t *Tree) neverThere(p string) bool {
	n := t.nodes.at(p)
	return n != nil && n.kind == KindDir && n.unpublished() && n.file.Object() == nil
}

// onlyHere tells whether the directory was never there, and nothing was seen in it. The caller
// holds t.mu.
func (t *Tree) onlyHere(p string) bool {
	l := t.dirs[p]
	if l == nil || !t.neverThere(p) {
		return false
	}
	l = l.lastComplete()
	return l != nil && len(l.entries) == 0
}
