package names

import (
	"context"
	"fmt"
	"testing"
	"time"

	"s3mount/internal/attrs"
	"s3mount/internal/mem"
	"s3mount/internal/s3/s3test"
	"s3mount/transfer"
	"s3mount/transfer/journal"
)

// benchTree is a Tree over a fake bucket with a directory of objects, of which is
// remembered what they carry. Nothing else is in it.
func benchTree(b *testing.B, entries int) *Tree {
	server := s3test.New()
	bucket := s3test.Bucket(b, server)
	j, err := journal.Open(journal.Options{Dir: b.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	arena := mem.NewArena()
	fetcher := transfer.NewFetcher(transfer.FetchOptions{Bucket: bucket, Budget: mem.New(64 << 20), Arena: arena, Memory: 16 << 20})
	engine := transfer.New(transfer.Options{Bucket: bucket, Fetcher: fetcher, Journal: j, Settle: time.Second, Host: "here"})
	memory, err := attrs.Open(attrs.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		memory.Close()
		engine.Close()
		fetcher.Close()
		j.Close()
		arena.Close()
	})
	for i := range entries {
		server.PutObject(fmt.Sprintf("d/%05d.bin", i), []byte("data"), meta(0o600, fmt.Sprintf("1500000000.%09d", i)))
	}
	for token := ""; ; {
		page, err := bucket.List(context.Background(), "", "", "", token, 0)
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range page.Objects {
			o.HasProps, o.Date = true, time.Now().Add(time.Hour)
			o.Props.ContentType = "application/octet-stream"
			o.Props.Meta = map[string]string{"mode": "33188", "uid": "1000", "gid": "1000", "mtime": "1500000000.123456789", "s3mount-id": "0123456789abcdef"}
			memory.Fetched(o)
		}
		if token = page.Next; token == "" {
			break
		}
	}
	return New(Options{Bucket: bucket, Engine: engine, Attrs: memory, TTL: time.Hour, Umask: 0o022}, transfer.Recovered{})
}

// read reads a directory as READDIRPLUS does, and returns the nodes.
func read(b *testing.B, t *Tree, dir string) (nodes []*Node) {
	ctx := context.Background()
	d, err := t.lookup(ctx, "", dir)
	if err != nil {
		b.Fatal(err)
	}
	s, err := t.OpenDir(ctx, d)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for {
		e, ok, err := s.Next(ctx, true)
		if err != nil {
			b.Fatal(err)
		}
		if !ok {
			return nodes
		}
		n := s.Node(e.Name)
		if n == nil || !n.Known().Exact {
			b.Fatalf("%s: not known", e.Name)
		}
		nodes = append(nodes, n)
	}
}

// BenchmarkListing reads a directory of objects of which is remembered what they carry:
// again while the kernel knows the nodes, or has forgotten them, and when the listing has
// to be fetched anew.
func BenchmarkListing(b *testing.B) {
	const entries = 10_000
	for _, c := range []struct {
		name   string
		forget bool // the kernel has forgotten the nodes
		expire bool // nobody believes the listing any more
	}{{"known", false, false}, {"forgotten", true, false}, {"expired", false, true}} {
		b.Run(c.name, func(b *testing.B) {
			t := benchTree(b, entries)
			nodes := read(b, t, "d")
			b.ReportAllocs()
			for b.Loop() {
				if c.forget {
					for _, n := range nodes {
						n.Forget()
					}
				}
				if c.expire {
					t.mu.Lock()
					delete(t.dirs, "d")
					t.mu.Unlock()
				}
				if nodes = read(b, t, "d"); len(nodes) != entries {
					b.Fatalf("%d entries", len(nodes))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
		})
	}
}
