package transfer

import (
	"context"
	"errors"
	"strings"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/plan"
)

// put sends a small content in one request.
func (f *File) put(ctx context.Context, c *content, key string, expect *s3.Object) (s3.Object, error) {
	size := c.ext.Size()
	var missing []plan.Extent
	for _, x := range c.ext.List() {
		if x.Kind == plan.Base {
			missing = append(missing, x)
		}
	}
	if err := f.fill(ctx, c, missing); err != nil {
		return s3.Object{}, err
	}
	var o s3.Object
	var err error
	f.eng.sender.do(kindOf(size), size, func(sent func()) bool {
		o, err = f.putNow(ctx, c, key, expect, sent)
		return err == nil
	})
	return o, err
}

// putNow is put when the bytes are all in the spool.
func (f *File) putNow(ctx context.Context, c *content, key string, expect *s3.Object, sent func()) (s3.Object, error) {
	size := c.ext.Size()
	f.mu.Lock()
	body := c.body(0, size)
	sums, known := c.sums.get(1, 0, size)
	f.mu.Unlock()
	defer body.Close()
	if !known {
		var err error
		if sums, err = sumOf(body); err != nil {
			return s3.Object{}, err
		}
	}
	props := Properties(&c.meta, key, c.born)
	if err := f.addTags(ctx, c, &props); err != nil {
		return s3.Object{}, err
	}
	cond := condition(expect)
	if strings.HasSuffix(key, "/") { // the marker of a directory has nothing that could be lost
		cond = s3.Cond{}
	}
	cond, err := f.eng.guardWrite(ctx, key, cond)
	if err != nil {
		return s3.Object{}, err
	}
	if err := f.visible(c, key); err != nil {
		return s3.Object{}, err
	}
	body.taken = sent
	answered := f.eng.unguarded(key, cond)
	o, err := f.eng.bucket.Put(ctx, key, body, size, &sums, props, cond)
	answered(err)
	if err != nil {
		return f.ambiguous(ctx, c, key, err)
	}
	return o, nil
}

// copyBase publishes a content that differs from its base in name or metadata only.
func (f *File) copyBase(ctx context.Context, c *content, base *s3.Object, key string, expect *s3.Object) (s3.Object, error) {
	src, cond := *base, s3.Cond{}
	if base.Key == key {
		src.VersionID = "" // the present version must be the one that was changed
	} else {
		cond = condition(expect)
	}
	props := Properties(&c.meta, key, c.born)
	tagged := props.TagCount > 0 || base.Props.TagCount > 0 || !base.HasProps
	if props.OwnTags = c.early && base != c.done && tagged; props.OwnTags {
		if err := f.addTags(ctx, c, &props); err != nil {
			return s3.Object{}, err
		}
	}
	cond, err := f.eng.guardCopy(ctx, key, cond)
	if err != nil {
		return s3.Object{}, err
	}
	if err := f.visible(c, key); err != nil {
		return s3.Object{}, err
	}
	asked := time.Now()
	o, err := f.eng.copyNoted(ctx, src, key, &props, cond)
	if err == nil {
		c.copied = source{base.Key, base.ETag, asked}
		f.eng.fetcher.sameBytes(src, key, o.ETag)
		return o, nil
	}
	o, err = f.ambiguous(ctx, c, key, err)
	if errors.Is(err, s3.ErrNotFound) || errors.Is(err, s3.ErrPrecondition) {
		return f.sourceGone(ctx, c, base, key, err)
	}
	return o, err
}
