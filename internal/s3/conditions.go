package s3

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Conditions says which preconditions of writes a server holds.
type Conditions struct {
	Writes bool `json:"writes"` // of PutObject, and, as far as is known, of CompleteMultipartUpload
	Copies bool `json:"copies"` // of CopyObject, on its target
}

// probeEnd limits how long a probe that was cancelled tries to remove its object.
const probeEnd = 2 * time.Second

// ProbeConditions finds out by writing the object at key, which nobody else may use,
// and removes it. err means that it could not be found out, left that the object is there still.
func (b *Bucket) ProbeConditions(ctx context.Context, key string) (c Conditions, left, err error) {
	c, err = b.probeConditions(ctx, key)
	left = b.Delete(ctx, key)
	if ctx.Err() != nil {
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), probeEnd)
		defer stop()
		left = b.Delete(last, key)
	}
	return c, left, err
}

func (b *Bucket) probeConditions(ctx context.Context, key string) (c Conditions, err error) {
	put := func(cond Cond) error {
		_, err := b.Put(ctx, key, strings.NewReader("s3mount"), 7, nil, Properties{}, cond)
		return err
	}
	if err := put(Cond{}); err != nil {
		return c, err
	}
	const other = `"00000000000000000000000000000000"`
	if c.Writes, err = holds(put(Cond{IfNoneMatch: true}), put(Cond{IfMatch: other})); err != nil {
		return c, err
	}
	clone := func(cond Cond) error {
		_, err := b.Copy(ctx, Object{Key: key}, key, &Properties{Meta: map[string]string{"probe": "copy"}}, cond)
		return err
	}
	c.Copies, err = holds(clone(Cond{IfNoneMatch: true}), clone(Cond{IfMatch: other}))
	return c, err
}

// holds takes the outcomes of requests that have to be refused. One that the server
// does not know is as good as one that it ignores.
func holds(outcomes ...error) (bool, error) {
	for _, err := range outcomes {
		switch {
		case errors.Is(err, ErrPrecondition):
		case err == nil, errors.Is(err, ErrUnsupported), errors.Is(err, ErrInvalid):
			return false, nil
		default:
			return false, err
		}
	}
	return true, nil
}
