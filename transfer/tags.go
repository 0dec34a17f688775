package transfer

import (
	"context"
	"errors"

	"s3mount/internal/s3"
)

// Tags asks for the tags of an object. Who may not read them goes on without.
func (e *Engine) Tags(ctx context.Context, key string) (string, error) {
	tags, err := e.bucket.Tags(ctx, key)
	switch {
	case err == nil || errors.Is(err, s3.ErrNotFound):
		return tags, nil
	case retryable(err) || ctx.Err() != nil:
		return "", err
	}
	e.log.Warn("the tags of an object cannot be read, and are not carried over", "key", key, "err", err)
	return "", nil
}

// addTags asks for the tags that the file's object has: a HEAD tells their number only,
// and a write that is no copy drops them.
func (f *File) addTags(ctx context.Context, c *content, p *s3.Properties) (err error) {
	if p.TagCount == 0 {
		return nil
	}
	f.mu.Lock()
	key := f.taggedAt(c)
	f.mu.Unlock()
	if key != "" {
		p.Tags, err = f.eng.Tags(ctx, key)
	}
	return err
}

// taggedAt is the key at which the bucket has the file's object; empty: nowhere. The
// caller holds f.mu.
func (f *File) taggedAt(c *content) string {
	if c.done != nil {
		return c.done.Key
	}
	if o := c.baseObject(); o != nil && !c.early {
		return o.Key
	}
	for _, o := range f.moved { // f.object may be that of a file that is being replaced
		if o.ETag != "" {
			return o.Key
		}
	}
	if f.object != nil {
		return f.object.Key
	}
	return ""
}
