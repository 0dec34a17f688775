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

// probeEnd limits how long a probe tries to remove its object.
const probeEnd = 2 * time.Second

// ProbeConditions finds out by writing the object at key, which nobody else may use,
// and removes it. An error means that it could not be found out.
func (b *Bucket) ProbeConditions(ctx context.Context, key string) (c Conditions, err error) {
	defer func() { // also of a probe that was cancelled, but no end waits long for it
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), probeEnd)
		defer stop()
		err = errors.Join(err, b.Delete(ctx, key))
	}()
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
