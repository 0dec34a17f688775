package transfer

import (
	"context"
	"net/http"
	"testing"

	"s3mount/internal/s3/s3test"
)

// carried is what other clients gave an object.
var carried = http.Header{
	"Content-Type":                 {"video/x-dnxhd"},
	"Cache-Control":                {"no-store"},
	"Content-Disposition":          {"inline"},
	"Content-Encoding":             {"identity"},
	"Content-Language":             {"de"},
	"Expires":                      {"Wed, 21 Oct 2037 07:28:00 GMT"},
	"X-Amz-Meta-Color":             {"red"},
	"X-Amz-Storage-Class":          {"STANDARD_IA"},
	"X-Amz-Server-Side-Encryption": {"aws:kms"},
	"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": {"key-1"},
	"X-Amz-Tagging": {"project=a%2Bb&state=raw"},
}

// carries checks an object for all of it.
func (g *writeRig) carries(key string) {
	g.t.Helper()
	h := g.server.Header(key)
	for k, v := range carried {
		if got := h.Get(k); got != v[0] {
			g.t.Errorf("%q has %s %q, want %q", key, k, got, v[0])
		}
	}
}

// known opens an object that the bucket was asked for.
func (g *writeRig) known(key string) *File {
	g.t.Helper()
	o, err := g.bucket.Head(context.Background(), key)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.engine.Open(o, ReadMeta(&o, writeMeta()))
}

func TestWhatOtherClientsGaveAnObjectStays(t *testing.T) {
	edit := func(g *writeRig, f *File, p []byte, off int64) {
		g.open(f)
		g.write(f, p, off)
		g.closeFile(f)
	}
	anew := func(g *writeRig, f *File, size int) {
		g.open(f)
		if err := f.Clear(context.Background()); err != nil {
			g.t.Fatal(err)
		}
		g.write(f, writePattern(3, size), 0)
		g.closeFile(f)
	}
	chmod := func(g *writeRig, f *File) {
		if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }); err != nil {
			g.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, key string
		size      int
		do        func(g *writeRig, f *File)
	}{
		{"an edit by PUT", "k", 1 << 20, func(g *writeRig, f *File) { edit(g, f, []byte("x"), 7) }},
		{"an edit by parts", "k", 20 << 20, func(g *writeRig, f *File) { edit(g, f, []byte("x"), 7) }},
		{"an edit after a crash", "k", 20 << 20, func(g *writeRig, f *File) { edit(g, f, []byte("x"), 7); g.crash() }},
		{"an edit, then a rename", "l", 1 << 20, func(g *writeRig, f *File) { edit(g, f, []byte("x"), 7); g.rename(f, "l") }},
		{"written anew by PUT", "k", 10, func(g *writeRig, f *File) { anew(g, f, 10) }},
		{"written anew while it uploads", "k", 10, func(g *writeRig, f *File) { anew(g, f, 20<<20) }},
		{"written anew, then a mode", "k", 10, func(g *writeRig, f *File) { anew(g, f, 20<<20); chmod(g, f) }},
		{"written anew, then a rename", "l", 10, func(g *writeRig, f *File) { anew(g, f, 10); g.rename(f, "l") }},
		{"a mode", "k", 10, chmod},
		{"a rename", "l", 10, func(g *writeRig, f *File) {
			if _, err := g.engine.MoveObject(context.Background(), f, "l", nil, nil); err != nil {
				g.t.Fatal(err)
			}
		}},
		{"cut to nothing", "k", 10, func(g *writeRig, f *File) { g.open(f); f.Clear(context.Background()); g.closeFile(f) }},
		{"a copy over it", "k", 10, func(g *writeRig, f *File) {
			g.server.PutObject("src", []byte("source"), http.Header{"X-Amz-Tagging": {"of=source"}})
			g.open(f)
			f.Clear(context.Background())
			g.copyRange(f, g.known("src"), 0, 6)
			g.closeFile(f)
		}},
		{"a copy over it, after a crash", "k", 10, func(g *writeRig, f *File) {
			g.server.PutObject("src", []byte("source"), http.Header{"X-Amz-Tagging": {"of=source"}})
			g.open(f)
			f.Clear(context.Background())
			g.copyRange(f, g.known("src"), 0, 6)
			g.crash()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				g.server.PutObject("k", writePattern(1, c.size), carried)
				c.do(g, g.known("k"))
				g.wait()
				g.carries(c.key)
				g.idle()
			})
		})
	}
}

// TestALargeObjectKeepsWhatItCarries: above 5 GiB the copies are put together from parts.
func TestALargeObjectKeepsWhatItCarries(t *testing.T) {
	for _, op := range []string{"a mode", "a rename", "an edit", "a conflict"} {
		t.Run(op, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				key := "k"
				g.server.PutPatternWith("k", 6<<30, carried)
				var f *File
				if op != "a conflict" {
					f = g.known("k")
				}
				switch op {
				case "a mode":
					if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }); err != nil {
						t.Fatal(err)
					}
				case "a rename":
					key = "l"
					if _, err := g.engine.MoveObject(context.Background(), f, key, nil, nil); err != nil {
						t.Fatal(err)
					}
				case "an edit":
					g.open(f)
					g.write(f, []byte("x"), 1<<30)
					g.closeFile(f)
				case "a conflict":
					g.put("k", []byte("ours"))
				}
				g.wait()
				if op == "a conflict" {
					key = g.theirs()
				}
				if o, err := g.bucket.Head(context.Background(), key); err != nil || o.Size != 6<<30 {
					t.Errorf("%+v, %v", o, err)
				}
				g.carries(key)
				g.idle()
			})
		})
	}
}

// TestAConflictCopyKeepsWhatItCarries.
func TestAConflictCopyKeepsWhatItCarries(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k.mov")
		g.write(f, []byte("ours"), 0)
		g.server.PutObject("k.mov", []byte("theirs"), carried)
		g.closeFile(f)
		g.wait()
		g.carries(g.theirs())
		if tags := g.server.Header("k.mov").Get("X-Amz-Tagging"); tags != "" {
			t.Errorf("ours has the tags %q", tags)
		}
	})
}

// TestACopyHasNoTagsOfItsSource, as one by reading and writing.
func TestACopyHasNoTagsOfItsSource(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.server.PutObject("k", []byte("bytes"), carried)
		g.duplicate(g.known("k"), "l")
		g.wait()
		h := g.server.Header("l")
		if h.Get("X-Amz-Tagging") != "" || h.Get("X-Amz-Meta-Color") != "" || h.Get("Cache-Control") != "" {
			t.Errorf("the copy carries %v", h)
		}
	})
}

// TestTagsThatCannotBeAskedFor: patience for a server that is away, none for one that
// refuses.
func TestTagsThatCannotBeAskedFor(t *testing.T) {
	for status, want := range map[int]string{http.StatusServiceUnavailable: carried.Get("X-Amz-Tagging"), http.StatusForbidden: ""} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.server.PutObject("k", []byte("bytes"), carried)
			f := g.known("k")
			n := 20
			if want == "" {
				n = -1
			}
			code := map[int]string{http.StatusServiceUnavailable: "SlowDown", http.StatusForbidden: "AccessDenied"}[status]
			g.fault("GetObjectTagging", n, s3test.Fault{Status: status, Code: code})
			g.open(f)
			g.write(f, []byte("B"), 0)
			g.closeFile(f)
			g.wait()
			g.has("k", []byte("Bytes"))
			if got := g.server.Header("k").Get("X-Amz-Tagging"); got != want {
				t.Errorf("%d: tags %q, want %q", status, got, want)
			}
		})
	}
}
