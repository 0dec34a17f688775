package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// TestObjectsWithoutETag holds that their date and size stand for the ETag: two versions
// are never taken for one, and no write replaces another than the one it names.
func TestObjectsWithoutETag(t *testing.T) {
	ctx := context.Background()
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		srv.PutUntagged("k", []byte("first"))
		old, err := b.Head(ctx, "k")
		if err != nil || !s3.Dated(old.ETag) {
			t.Fatalf("HEAD gives %q, %v", old.ETag, err)
		}
		page, err := b.List(ctx, "k", "", "", "", 0)
		if err != nil || len(page.Objects) != 1 || page.Objects[0].ETag != old.ETag {
			t.Errorf("the listing gives %v, %v; want %q", page.Objects, err, old.ETag)
		}
		body, o, err := b.GetRange(ctx, "k", old.ETag, "", 1, 3)
		if err != nil || o.ETag != old.ETag {
			t.Fatalf("GET gives %q, %v; want %q", o.ETag, err, old.ETag)
		}
		if got, _ := io.ReadAll(body); string(got) != "irs" {
			t.Errorf("read %q", got)
		}
		body.Close()
		if _, err := b.Copy(ctx, old, "copy", nil, s3.Cond{}); err != nil {
			t.Errorf("copy: %v", err)
		}

		time.Sleep(2 * time.Second)
		srv.PutUntagged("k", []byte("other"))
		if _, _, err := b.GetRange(ctx, "k", old.ETag, "", 0, 5); !errors.Is(err, s3.ErrChanged) {
			t.Errorf("GET of the old version: %v", err)
		}
		if _, err := b.Sums(ctx, old); !errors.Is(err, s3.ErrChanged) {
			t.Errorf("checksum of the old version: %v", err)
		}
		if _, err := b.Copy(ctx, old, "copy2", nil, s3.Cond{}); !errors.Is(err, s3.ErrPrecondition) {
			t.Errorf("copy of the old version: %v", err)
		}
		put := func(etag string) error {
			_, err := b.Put(ctx, "k", bytes.NewReader([]byte("third")), 5, nil, s3.Properties{}, s3.Cond{IfMatch: etag})
			return err
		}
		if err := put(old.ETag); !errors.Is(err, s3.ErrPrecondition) {
			t.Errorf("put in place of the old version: %v", err)
		}
		if _, err := b.Copy(ctx, s3.Object{Key: "copy"}, "k", nil, s3.Cond{IfMatch: old.ETag}); !errors.Is(err, s3.ErrPrecondition) {
			t.Errorf("copy in place of the old version: %v", err)
		}
		if data, _ := srv.Object("k"); string(data) != "other" {
			t.Errorf("the object is %q", data)
		}
		now, err := b.Head(ctx, "k")
		if err != nil || now.ETag == old.ETag {
			t.Errorf("HEAD of the new version: %q, %v", now.ETag, err)
		}
		if err := put(now.ETag); err != nil {
			t.Errorf("put in place of the new version: %v", err)
		}
	})
}

// TestHeadWithoutTheSize: such an object is not taken for an empty one.
func TestHeadWithoutTheSize(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		srv.PutObject("key", []byte("bytes"), nil)
		srv.PutObject("key2", []byte("more bytes"), nil)
		srv.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{NoLength: true} })
		if o, err := b.Head(context.Background(), "key"); err != nil || o.Size != 5 {
			t.Errorf("%d bytes, %v; want 5", o.Size, err)
		}
		srv.Fault(func(r *http.Request) *s3test.Fault {
			if s3test.Op(r) == "HeadObject" {
				return &s3test.Fault{NoLength: true, ETag: `"another"`}
			}
			return nil
		})
		if o, err := b.Head(context.Background(), "key"); !errors.Is(err, s3.ErrServer) {
			t.Errorf("another version: %d bytes, %v", o.Size, err)
		}
	})
}
