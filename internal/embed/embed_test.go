package embed

import (
	"context"
	"strings"
	"testing"

	"s3mount/internal/s3"
)

func TestKeepsObjectsOverARestart(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	for round := range 2 {
		srv, err := Start(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.CreateBucket("films"); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_ACCESS_KEY_ID", srv.AccessKey)
		t.Setenv("AWS_SECRET_ACCESS_KEY", srv.SecretKey)
		b, err := s3.Open(ctx, s3.Config{Bucket: "films", Endpoint: srv.Endpoint(), Region: "us-east-1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(ctx); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if _, err := Start(ctx, dir); err == nil {
				t.Error("a second server started in one process")
			}
			if _, err := b.CreateUpload(ctx, "a/unfinished", s3.Properties{}); err != nil {
				t.Fatal(err)
			}
			p := s3.Properties{Meta: map[string]string{"mtime": "1.5"}}
			if _, err := b.Put(ctx, "a/b", strings.NewReader(""), 0, nil, p, s3.Cond{IfNoneMatch: true}); err != nil {
				t.Fatal(err)
			}
		}
		o, err := b.Head(ctx, "a/b")
		if err != nil || o.Props.Meta["mtime"] != "1.5" {
			t.Errorf("round %d: %+v, %v", round, o, err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}
}
