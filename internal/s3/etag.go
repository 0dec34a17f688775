package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// dated begins what stands for the ETag of an object that the server gives none: its date
// and size. versitygw gives none to files that it found in its directory.
const dated = `"s3mount-dated-`

// etagOf is the ETag of an object, or what stands for it. A directory's marker needs none:
// it has no bytes that could be mixed, and where it is a directory of the server its date is
// that of its entries.
func etagOf(key string, etag *string, modified *time.Time, size int64) string {
	e := quoted(etag)
	if e != "" || modified == nil || strings.HasSuffix(key, "/") {
		return e
	}
	return fmt.Sprintf(`%s%d-%d"`, dated, modified.Unix(), size)
}

// Dated tells whether an ETag only stands for one: two versions of one second and of one
// size have the same.
func Dated(etag string) bool { return strings.HasPrefix(etag, dated) }

// quoted gives an ETag its quotes, which some servers leave out in some answers.
func quoted(etag *string) string {
	e := val(etag)
	if e == "" || strings.HasSuffix(e, `"`) {
		return e
	}
	return `"` + e + `"`
}

// sameETag compares without quotes and without the mark of a weak one.
func sameETag(a, b string) bool {
	return strings.Trim(strings.TrimPrefix(a, "W/"), `"`) == strings.Trim(strings.TrimPrefix(b, "W/"), `"`)
}

// ifMatch is what is sent as If-Match: nil where the server knows no such ETag.
func ifMatch(etag string) *string {
	if Dated(etag) {
		return nil
	}
	return str(etag)
}

// ifUnmodified is what is sent as If-Unmodified-Since in place of If-Match; nil where that
// can be sent. Servers compare with fractions of seconds, which the date does not have.
func ifUnmodified(etag string) *time.Time {
	var unix, size int64
	if n, err := fmt.Sscanf(etag, dated+`%d-%d"`, &unix, &size); err != nil || n != 2 {
		return nil
	}
	at := time.Unix(unix+1, 0).UTC()
	return &at
}

// checkDated asks for the object at a key, where the server cannot be told the precondition
// of a write: who writes between the two is overwritten.
func (b *Bucket) checkDated(ctx context.Context, key string, c Cond) error {
	if !Dated(c.IfMatch) {
		return nil
	}
	o, err := b.Head(ctx, key)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && o.ETag != c.IfMatch:
		return &Error{Op: "HeadObject", Key: key, Kind: ErrPrecondition, Detail: "another version is there"}
	}
	return err
}

// listedSize is the size of an object by a listing, for servers and proxies whose HEAD does
// not tell it. It must be the version that HEAD told of.
func (b *Bucket) listedSize(ctx context.Context, key string, etag *string) (int64, error) {
	page, err := b.List(ctx, key, "", "", "", 2) // a limit of 1 hides children on MinIO
	if err != nil {
		return 0, err
	}
	for _, o := range page.Objects {
		if o.Key == key && (val(etag) == "" || sameETag(o.ETag, val(etag))) {
			return o.Size, nil
		}
	}
	return 0, &Error{Op: "HeadObject", Key: key, Kind: ErrServer, Detail: "the answer does not tell the size"}
}
