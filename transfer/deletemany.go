package transfer

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

const (
	// deleteBatch is how many objects are compared with one listing and deleted with one
	// request: few enough that another client hardly changes one between the two.
	deleteBatch = 250
	// deleteOneByOne is up to how many objects that is no gain.
	deleteOneByOne = 4
)

// deleteAll deletes objects unless another client has changed them.
func (e *Engine) deleteAll(ctx context.Context, list []journal.Object) error {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b journal.Object) int { return cmp.Compare(a.Key, b.Key) })
	batches := slices.Collect(slices.Chunk(list, deleteBatch))
	rest := make([][]journal.Object, len(batches))
	var listed errgroup.Group
	listed.SetLimit(moveParallel)
	for i, batch := range batches {
		after := ""
		if i > 0 {
			after = batches[i-1][len(batches[i-1])-1].Key
		}
		listed.Go(func() error {
			rest[i] = e.deleteListed(ctx, batch, after)
			return nil
		})
	}
	if err := listed.Wait(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(moveParallel)
	for _, o := range slices.Concat(rest...) {
		g.Go(func() error {
			_, err := e.deleteUnchanged(gctx, o)
			return err
		})
	}
	return g.Wait()
}

// deleteListed compares objects with one listing, behind the key after, and deletes those
// that are unchanged with one request. It returns those of which that does not tell, or
// that the store did not delete so.
func (e *Engine) deleteListed(ctx context.Context, batch []journal.Object, after string) (rest []journal.Object) {
	if len(batch) <= deleteOneByOne {
		return batch
	}
	page, err := e.bucket.List(ctx, commonDir(batch[0].Key, batch[len(batch)-1].Key), "", after, "", len(batch)+deleteBatch/10)
	if err != nil {
		return batch
	}
	listed := make(map[string]s3.Object, len(page.Objects))
	for _, o := range page.Objects {
		listed[o.Key] = o
	}
	wanted := map[string]journal.Object{}
	var keys []string
	for _, o := range batch {
		if now, ok := listed[o.Key]; !ok || o.ETag == "" || now.ETag != o.ETag || o.Publication != "" {
			rest = append(rest, o)
			continue
		}
		keys = append(keys, o.Key)
		wanted[o.Key] = o
	}
	if len(keys) == 0 {
		return rest
	}
	answered := e.underWay(keys...)
	left, err := e.bucket.DeleteAll(ctx, keys)
	answered(err)
	if err != nil {
		e.log.Debug("objects are deleted one by one", "first", keys[0], "err", err)
	}
	for _, key := range left {
		rest = append(rest, wanted[key])
	}
	return rest
}

// commonDir is the longest prefix of two keys that is empty or ends with a slash.
func commonDir(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:strings.LastIndexByte(a[:n], '/')+1]
}
