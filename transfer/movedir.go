package transfer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

// moveParallel is how many objects of a directory are moved at once.
const moveParallel = 64

// Copied is an object and its copy under the new name.
type Copied struct{ From, To s3.Object }

// MoveDir gives objects below the prefix from the same names below to: the server
// copies all, then relocate tells their files, then the old ones are deleted, so
// that whatever happens nothing is lost. Files that were never published have no object
// here: relocate renames them. copies is by old key.
//
// The intent is in the journal before the first copy. After a crash behind it the
// next process completes the rename, for unpublished files too. When a copy fails,
// the copies are deleted again, and all is as it was; what fails behind that is tried
// again. It returns the objects that could not be deleted yet; they will be.
func (e *Engine) MoveDir(ctx context.Context, from, to string, objects []s3.Object, relocate func(copies map[string]Copied) error) (later []ObjectRef, err error) {
	rec := journal.Record{ID: journal.NewID(), Seq: e.nextSeq(), NoContent: true, Rename: &journal.Rename{From: from, To: to}}
	for i := range objects {
		rec.Rename.Objects = append(rec.Rename.Objects, versionOf(&objects[i], objects[i].Key))
	}
	if err := e.apply([]journal.Record{rec}); err != nil {
		return nil, err
	}
	copies, unsure, err := e.copyAll(ctx, rec.Rename, objects)
	if err != nil {
		e.dropCopies(rec.Rename, copies, unsure)
		if noted := e.apply(nil, rec.ID); noted != nil {
			e.removeLater(rec.ID)
			err = errors.Join(err, noted)
		}
		return nil, err
	}
	err = relocate(copies)
	done := journal.Record{ID: rec.ID, Seq: rec.Seq, NoContent: true, Delete: rec.Rename.Objects}
	if err == nil {
		err = e.apply([]journal.Record{done})
	}
	if err != nil { // all have their new names, and after a crash the next process sees to that
		e.log.Warn("renamed, but the journal cannot note it yet", "from", from, "to", to, "err", err)
		e.endMove(&done, from)
		return done.Delete, nil
	}
	if err := e.deleteAll(ctx, done.Delete); err != nil {
		e.log.Warn("old objects not deleted yet", "prefix", from, "err", err)
		e.deleteLater(&done, nil)
		return done.Delete, nil
	}
	if err := e.apply(nil, done.ID); err != nil {
		e.log.Warn("renamed, but the journal cannot note it yet", "from", from, "to", to, "err", err)
		e.removeLater(done.ID)
	}
	return nil, nil
}

// copyAll copies the objects to their new keys. On an error it returns the copies that were
// made, and the objects that may have been copied without an answer. Copies that are
// under way then are waited for: the server may make them all the same.
func (e *Engine) copyAll(ctx context.Context, r *journal.Rename, objects []s3.Object) (copies map[string]Copied, unsure []journal.Object, err error) {
	var mu sync.Mutex
	var failed atomic.Bool
	copies = make(map[string]Copied, len(objects))
	var g errgroup.Group
	g.SetLimit(moveParallel)
	for i, o := range objects {
		g.Go(func() error {
			if failed.Load() {
				return nil
			}
			n, err := e.CopyObject(ctx, o, r.NewKey(o.Key), s3.Cond{})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed.Store(true)
				unsure = append(unsure, r.Objects[i])
				return err
			}
			copies[o.Key] = Copied{o, n}
			return nil
		})
	}
	err = g.Wait()
	return copies, unsure, err
}

// dropCopies takes back what copyAll did, but for the marker of the directory, which may have
// been there before. What cannot be deleted stays under both names.
func (e *Engine) dropCopies(r *journal.Rename, copies map[string]Copied, unsure []journal.Object) {
	var list []journal.Object
	for key, c := range copies {
		if key != r.From {
			list = append(list, journal.Object{Key: c.To.Key, ETag: c.To.ETag})
		}
	}
	err := e.deleteAll(e.ctx, list)
	for _, o := range unsure {
		if o.Key != r.From {
			err = errors.Join(err, e.undoCopy(e.ctx, o, r.NewKey(o.Key)))
		}
	}
	if err != nil {
		e.log.Warn("a rename failed, and copies of it may be left", "to", r.To, "copies", len(list)+len(unsure), "err", err)
	}
}

// recoverRenames carries the renames of directories that a crash cut over to the
// unpublished files below them, in one transaction, and returns the records as they
// are then. The objects follow when Start is called.
func (e *Engine) recoverRenames(records []journal.Record, out *Recovered) ([]journal.Record, error) {
	var put []journal.Record
	for i := range records {
		dir := &records[i]
		if dir.Rename == nil {
			continue
		}
		gone := map[string]bool{} // objects that go with an unpublished file
		for k := range records {
			r := &records[k]
			if r.NoContent || r.Open || !strings.HasPrefix(r.Key, dir.Rename.From) {
				continue
			}
			gone[r.Key] = true
			moveRecordTo(r, dir.Rename.NewKey(r.Key))
			put = append(put, *r)
		}
		var rest []journal.Object
		for _, o := range dir.Rename.Objects {
			if gone[o.Key] { // an edit builds on it; its copy is in the way
				dir.Rename.Undo = append(dir.Rename.Undo, o)
			} else {
				rest = append(rest, o)
			}
		}
		dir.Rename.Objects = rest
		put = append(put, *dir)
		out.Doomed = append(out.Doomed, dir.Rename.Objects...)
		e.recovered = append(e.recovered, recovered{0, func() { e.moveLater(dir) }}) // before the files
	}
	if len(put) == 0 {
		return records, nil
	}
	return records, e.apply(put)
}

// moveRecordTo is File.Rename for a record: the old object goes after the
// publication.
func moveRecordTo(r *journal.Record, key string) {
	old := journal.Object{Key: r.Key, Publication: r.Publication} // of a publication that nobody heard of
	r.Delete = append(slices.Clone(r.Delete), old)
	if r.Replaces != "" {
		r.Delete = append(r.Delete, journal.Object{Key: r.Key, ETag: r.Replaces})
	}
	r.Key, r.Replaces = key, ""
}

// moveLater completes the rename of a directory that a crash cut.
func (e *Engine) moveLater(rec *journal.Record) {
	keys := map[string]bool{}
	for _, o := range slices.Concat(rec.Rename.Objects, rec.Rename.Undo) {
		keys[o.Key], keys[rec.Rename.NewKey(o.Key)] = true, true
	}
	done := make(chan struct{})
	e.mu.Lock()
	e.moves = append(e.moves, done)
	e.mu.Unlock()
	tries := 0
	e.queue.add(0, func(t *ticket) {
		if err := e.moveRest(rec); err != nil {
			tries++
			e.log.Warn("rename of a directory not completed yet", "from", rec.Rename.From, "to", rec.Rename.To, "err", err)
			e.queue.retry(t, backoff(tries))
			return
		}
		if e.opts.Deleted != nil {
			e.opts.Deleted(rec.Rename.Objects, nil)
		}
		close(done)
		e.queue.done(t)
	}, slices.Collect(maps.Keys(keys))...)
}

// moveRest copies what is not at its new key yet, then deletes what is there.
func (e *Engine) moveRest(rec *journal.Record) error {
	var mu sync.Mutex
	var moved []journal.Object
	g, gctx := errgroup.WithContext(e.ctx)
	g.SetLimit(moveParallel)
	for _, o := range rec.Rename.Objects {
		g.Go(func() error {
			ok, err := e.moveOne(gctx, o, rec.Rename.NewKey(o.Key))
			if ok {
				mu.Lock()
				moved = append(moved, o)
				mu.Unlock()
			}
			return err
		})
	}
	for _, o := range rec.Rename.Undo {
		g.Go(func() error { return e.undoCopy(gctx, o, rec.Rename.NewKey(o.Key)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := e.deleteAll(e.ctx, moved); err != nil {
		return err
	}
	return e.apply(nil, rec.ID)
}

// moveOne copies an object to its new key, unless that has been done. It returns
// false when another client changed one of the two: then both stay.
func (e *Engine) moveOne(ctx context.Context, o journal.Object, key string) (bool, error) {
	src, err := e.bucket.Head(ctx, o.Key)
	if errors.Is(err, s3.ErrNotFound) {
		return false, nil // moved, or deleted by another client
	}
	if err != nil {
		return false, err
	}
	dst, err := e.bucket.Head(ctx, key)
	there := err == nil
	switch {
	case err != nil && !errors.Is(err, s3.ErrNotFound):
		return false, err
	case src.ETag != o.ETag:
		e.log.Warn("another client changed a file of a directory that is renamed: it keeps its name", "key", o.Key)
		return false, nil
	case there && sameObject(&src, &dst):
		return true, nil
	case there && !strings.HasSuffix(key, "/"):
		e.log.Warn("another client has made a file where a directory was moved to: both stay", "key", o.Key, "other", key)
		return false, nil
	}
	_, err = e.CopyObject(ctx, src, key, s3.Cond{})
	return err == nil, err
}

// undoCopy deletes the copy of an object that stays, if there is one at key: the rename failed,
// or an unpublished file, which builds on the object, is to be published there.
func (e *Engine) undoCopy(ctx context.Context, o journal.Object, key string) error {
	src, err := e.bucket.Head(ctx, o.Key)
	if err == nil && src.ETag == o.ETag {
		var dst s3.Object
		if dst, err = e.bucket.Head(ctx, key); err == nil && sameObject(&src, &dst) {
			return e.deleteNoted(ctx, key)
		}
	}
	if errors.Is(err, s3.ErrNotFound) {
		return nil
	}
	return err
}

// sameObject tells whether b is a copy of a. The ETag of what was uploaded in parts
// changes with a copy.
func sameObject(a, b *s3.Object) bool {
	parts := strings.Contains(a.ETag, "-") || strings.Contains(b.ETag, "-")
	return a.Size == b.Size && (a.ETag == b.ETag || parts) && maps.Equal(a.Props.Meta, b.Props.Meta)
}

// AwaitMoves waits until the renames of directories that a crash cut are complete.
func (e *Engine) AwaitMoves(ctx context.Context) error {
	e.mu.Lock()
	moves := slices.Clone(e.moves)
	e.mu.Unlock()
	for _, done := range moves {
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
