package embed_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"s3mount/internal/embed"
	"s3mount/internal/s3"
)

func open(t *testing.T, srv *embed.Server) *s3.Bucket {
	t.Helper()
	b, err := s3.Open(t.Context(), s3.Config{
		Bucket: "demo", Endpoint: srv.Endpoint(), Region: "us-east-1", AccessKey: srv.AccessKey, SecretKey: srv.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestRestart(t *testing.T) {
	t.Run("attributes", func(t *testing.T) { restart(t, t.TempDir()) })
	t.Run("metadata files", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(dir+"/metadata", 0o700); err != nil {
			t.Fatal(err)
		}
		restart(t, dir)
	})
}

func restart(t *testing.T, dir string) {
	before, _ := os.Getwd()
	var uploadID, secret string
	for round := range 2 {
		srv, err := embed.Start(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := embed.Start(context.Background(), t.TempDir()); !errors.Is(err, embed.ErrRunning) {
			t.Errorf("second Start: %v", err)
		}
		if err := srv.CreateBucket("demo"); err != nil {
			t.Fatal(err)
		}
		b := open(t, srv)
		if err := b.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		meta := s3.Properties{ContentType: "video/mp4", Meta: map[string]string{"mtime": "1.5"}}
		if round == 0 {
			secret = srv.SecretKey
			if _, err := b.Put(t.Context(), "dir/a", strings.NewReader("abc"), 3, nil, meta, s3.Cond{}); err != nil {
				t.Fatal(err)
			}
			if uploadID, err = b.CreateUpload(t.Context(), "dir/b", meta, s3.WithCopies); err != nil {
				t.Fatal(err)
			}
		} else {
			o, err := b.Head(t.Context(), "dir/a")
			if err != nil || o.Size != 3 || o.Props.Meta["mtime"] != "1.5" || o.Props.ContentType != "video/mp4" {
				t.Errorf("after restart: %+v, %v", o, err)
			}
			if _, err := b.ListParts(t.Context(), "dir/b", uploadID); err != nil {
				t.Errorf("the upload is gone: %v", err)
			}
			if srv.SecretKey != secret {
				t.Error("the keys changed")
			}
		}
		b.Close() // the server waits for connections on which nothing was asked yet
		start := time.Now()
		if err := srv.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
	}
	if after, _ := os.Getwd(); after != before {
		t.Errorf("working directory is %s, was %s", after, before)
	}
}

func TestStartFails(t *testing.T) {
	file := t.TempDir() + "/file"
	os.WriteFile(file, nil, 0o600)
	if _, err := embed.Start(t.Context(), file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}
