package s3_test

import (
	"net/http"
	"strings"
	"testing"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/internal/sum"
)

// The options of the mount must really reach the server, with each request
// that they belong to.
func TestOptionHeaders(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, _ *s3.Bucket) {
		b := s3test.Bucket(t, srv, func(c *s3.Config) {
			c.SSE, c.SSEKMSKey, c.StorageClass, c.ACL, c.RequestPayer = "aws:kms", "key-id", "STANDARD_IA", "bucket-owner-full-control", true
		})
		ctx := t.Context()
		sums := sum.Sums{}
		_, err := b.Put(ctx, "k", strings.NewReader(""), 0, &sums, s3.Properties{}, s3.Cond{})
		want(t, "put", err, nil)
		_, err = b.Copy(ctx, s3.Object{Key: "k"}, "l", nil, s3.Cond{})
		want(t, "copy", err, nil)
		id, err := b.CreateUpload(ctx, "m", s3.Properties{})
		want(t, "create", err, nil)
		_, err = b.UploadPart(ctx, "m", id, 1, strings.NewReader(""), 0, &sums)
		want(t, "part", err, nil)
		b.ListParts(ctx, "m", id)
		b.ListUploads(ctx, "")
		b.Abort(ctx, "m", id)
		b.Head(ctx, "k")
		b.List(ctx, "", "", "", "", 0)
		b.GetRange(ctx, "k", "", "", 0, 0)
		b.Delete(ctx, "k")
		writes := map[string]bool{"PutObject": true, "CopyObject": true, "CreateMultipartUpload": true}
		seen := map[string]bool{}
		for _, r := range srv.Requests() {
			seen[r.Op] = true
			expect(t, r, "X-Amz-Request-Payer", "requester")
			if writes[r.Op] {
				expect(t, r, "X-Amz-Server-Side-Encryption", "aws:kms")
				expect(t, r, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "key-id")
				expect(t, r, "X-Amz-Storage-Class", "STANDARD_IA")
				expect(t, r, "X-Amz-Acl", "bucket-owner-full-control")
			}
			if r.Op == "PutObject" || r.Op == "UploadPart" {
				expect(t, r, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
				expect(t, r, "X-Amz-Checksum-Crc32c", "AAAAAA==")
				expect(t, r, "X-Amz-Trailer", "")
			}
		}
		if len(seen) != 11 {
			t.Errorf("seen only %v", seen)
		}
	})
}

func expect(t *testing.T, r s3test.Request, name, value string) {
	t.Helper()
	if got := r.Header.Get(name); got != value {
		t.Errorf("%s: %s is %q; want %q", r.Op, name, got, value)
	}
}

// A storage class of the object wins over that of the mount; archives are told.
func TestStorageClass(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		srv.PutObject("cold", []byte("x"), http.Header{"X-Amz-Storage-Class": {"DEEP_ARCHIVE"}})
		srv.PutObject("warm", []byte("x"), http.Header{"X-Amz-Storage-Class": {"STANDARD_IA"}})
		o, err := b.Head(t.Context(), "cold")
		if err != nil || !o.Archived || o.StorageClass != "DEEP_ARCHIVE" {
			t.Errorf("got %+v, %v", o, err)
		}
		page, err := b.List(t.Context(), "", "", "", "", 0)
		if err != nil || !page.Objects[0].Archived || page.Objects[1].Archived {
			t.Errorf("got %+v, %v", page, err)
		}
		_, _, err = b.GetRange(t.Context(), "cold", "", "", 0, 1)
		want(t, "get", err, s3.ErrArchived)
		warm, err := b.Head(t.Context(), "warm")
		want(t, "head", err, nil)
		_, err = b.Put(t.Context(), "warm", strings.NewReader(""), 0, nil, warm.Props, s3.Cond{})
		want(t, "put", err, nil)
		if got := srv.Header("warm").Get("X-Amz-Storage-Class"); got != "STANDARD_IA" {
			t.Errorf("class is now %q", got)
		}
	})
}
