package transfer

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// copyParallel is how many parts of one object the server copies at once.
const copyParallel = 16

// CopyObject copies an object on the server, whatever its size, with all that it
// carries. It fails with ErrPrecondition when src is not the present version, or when
// cond does not hold at key.
func (e *Engine) CopyObject(ctx context.Context, src s3.Object, key string, cond s3.Cond) (s3.Object, error) {
	n, err := e.copyTo(ctx, src, key, nil, cond)
	if errors.Is(err, s3.ErrPrecondition) && cond != (s3.Cond{}) {
		// A repeated request may have met its own first try.
		if o, herr := e.bucket.Head(ctx, key); herr == nil && o.ETag == src.ETag && o.Size == src.Size {
			n, err = o, nil
		}
	}
	n.Key, n.Size, n.LastModified = key, src.Size, time.Now()
	return n, err
}

// copyTo copies an object; nil props keep its own. Above 5 GiB it is put together
// from parts.
func (e *Engine) copyTo(ctx context.Context, src s3.Object, key string, props *s3.Properties, cond s3.Cond) (s3.Object, error) {
	if src.Size > plan.MaxPart {
		return e.copyParts(ctx, src, key, props, cond)
	}
	cond, err := e.guardCopy(ctx, key, cond)
	if err != nil {
		return s3.Object{}, err
	}
	o, err := e.copyNoted(ctx, src, key, props, cond)
	if err == nil {
		e.fetcher.sameBytes(src, key, o.ETag)
	}
	return o, err
}

// copyParts copies an object by parts.
func (e *Engine) copyParts(ctx context.Context, src s3.Object, key string, props *s3.Properties, cond s3.Cond) (s3.Object, error) {
	full, err := e.bucket.Head(ctx, src.Key)
	if err != nil {
		return s3.Object{}, err
	}
	p := full.Props
	if props != nil {
		p = *props
	}
	if full.Props.TagCount > 0 && p.Tags == "" {
		if p.Tags, err = e.Tags(ctx, src.Key); err != nil {
			return s3.Object{}, err
		}
	}
	intent := e.intentOf(key)
	if err := e.apply([]journal.Record{intent}); err != nil {
		return s3.Object{}, err
	}
	defer e.creates(key)()
	id, err := e.bucket.CreateUpload(ctx, key, p, s3.WithCopies)
	if err != nil {
		return s3.Object{}, errors.Join(err, e.neverMade(key, err), e.apply(nil, intent.ID))
	}
	ext := plan.NewExtents(src.Size, plan.Base)
	pieces := plan.Edit(&ext)
	parts := make([]s3.Part, len(pieces))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copyParallel)
	for i, p := range pieces {
		g.Go(func() error {
			var err error
			parts[i], err = e.bucket.UploadPartCopy(gctx, key, id, int32(i+1), src, p.Off, p.Len)
			return err
		})
	}
	if err = g.Wait(); err == nil && cond != (s3.Cond{}) {
		cond, err = e.guardWrite(ctx, key, cond)
	}
	var o s3.Object
	if err == nil {
		answered := e.unguarded(key, cond)
		o, err = e.bucket.Complete(ctx, key, id, parts, cond)
		answered(err)
	}
	if err != nil {
		e.abort(key, id)
	} else {
		e.fetcher.sameBytes(src, key, o.ETag)
	}
	if noted := e.apply(nil, intent.ID); noted != nil {
		e.log.Error("the journal cannot note that an upload has ended", "key", key, "err", noted)
	}
	return o, err
}

// replace makes src, with props, the object at key, whose present version should be
// expect; nil: there should be none. Another version that is there is kept under
// another name.
func (e *Engine) replace(ctx context.Context, src s3.Object, key string, props *s3.Properties, expect *s3.Object) (s3.Object, error) {
	for try := 1; ; try++ {
		n, err := e.copyTo(ctx, src, key, props, condition(expect))
		if err == nil {
			return n, nil
		}
		now, herr := e.bucket.Head(ctx, key)
		if herr == nil && now.Props.Meta[metaPublication] == props.Meta[metaPublication] {
			return now, nil // only the answer was lost
		}
		if !errors.Is(err, s3.ErrPrecondition) || try == maxRenewals {
			return n, err
		}
		if now, herr = e.bucket.Head(ctx, src.Key); herr != nil || now.ETag != src.ETag {
			return n, err // it was the source
		}
		if expect, err = e.keepTheirs(ctx, key, props.Meta[metaPublication]); err != nil {
			return n, err
		}
	}
}
