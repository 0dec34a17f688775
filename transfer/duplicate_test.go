package transfer

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// copyRange copies by reference and says how much that was.
func (g *writeRig) copyRange(dst, src *File, off, n int64) int64 {
	g.t.Helper()
	copied, err := dst.CopyRange(context.Background(), src, off, n)
	if err != nil {
		g.t.Fatalf("copy of %d at %d: %v", n, off, err)
	}
	return copied
}

// duplicate copies a whole file to a new key and closes it.
func (g *writeRig) duplicate(src *File, key string) *File {
	g.t.Helper()
	f := g.create(key)
	if n := g.copyRange(f, src, 0, 1<<40); n != src.Size() {
		g.t.Fatalf("%d bytes copied, want %d", n, src.Size())
	}
	g.closeFile(f)
	return f
}

// moved is the bytes of content that requests carried.
func (g *writeRig) moved() string {
	var out []string
	for _, r := range g.server.Requests() {
		switch r.Op {
		case "GetObject", "PutObject", "UploadPart":
			out = append(out, r.Op)
		}
	}
	return strings.Join(out, " ")
}

func TestCopyMovesNoBytes(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 20<<20)
		src := g.existing("clip.mov", data)
		g.server.ClearRequests()
		f := g.duplicate(src, "copy.mov")
		if err := f.SetMeta(func(m *Meta) { m.Mode, m.MtimeNS = ModeFile|0o600, 12e9 }); err != nil {
			t.Fatal(err)
		}
		g.wait()
		if got := g.ops(); got != "HeadObject HeadObject CopyObject" { // of the source, then of the target
			t.Errorf("requests: %s", got)
		}
		g.has("copy.mov", data)
		g.has("clip.mov", data)
		h := g.server.Header("copy.mov")
		if h.Get("X-Amz-Meta-Mode") != "33152" || h.Get("X-Amz-Meta-Mtime") != "12.000000000" || h.Get("X-Amz-Meta-Color") != "" {
			t.Errorf("the copy carries %v", h)
		}
		g.reads(f, data)
		g.idle()
	})
}

func TestCopyReadsBeforeItIsPublished(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 3<<20)
		f := g.duplicate(g.existing("k", data), "l")
		g.reads(f, data)
		if !f.Dirty() {
			t.Error("published before it was read")
		}
		g.wait()
		g.has("l", data)
	})
}

// TestCopyComesBeforeChangesOfItsSource changes the source in every way before the
// copy is published.
func TestCopyComesBeforeChangesOfItsSource(t *testing.T) {
	data, other := writePattern(1, 6<<20), []byte("other")
	for name, change := range map[string]func(g *writeRig, src *File){
		"written": func(g *writeRig, src *File) {
			g.open(src)
			if err := src.Clear(context.Background()); err != nil {
				g.t.Fatal(err)
			}
			g.write(src, other, 0)
			if err := src.Sync(context.Background()); err != nil {
				g.t.Fatal(err)
			}
			g.closeFile(src)
		},
		"unlinked and made anew": func(g *writeRig, src *File) {
			if _, err := g.engine.Remove(context.Background(), src); err != nil {
				g.t.Fatal(err)
			}
			if err := g.put("k", other).Sync(context.Background()); err != nil {
				g.t.Fatal(err)
			}
		},
		"renamed": func(g *writeRig, src *File) {
			if _, err := g.engine.MoveObject(context.Background(), src, "m", nil, nil); err != nil {
				g.t.Fatal(err)
			}
			g.put("k", other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				src := g.existing("k", data)
				f := g.duplicate(src, "l")
				second := g.duplicate(src, "n")
				change(g, src)
				g.wait()
				g.has("l", data)
				g.has("n", data)
				g.reads(f, data)
				g.reads(second, data)
				if strings.Contains(name, "made") || name == "written" {
					g.has("k", other)
				}
				g.idle()
			})
		})
	}
}

func TestCopyRenamedOverItsSource(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 3<<20)
		src := g.existing("k", data)
		f := g.duplicate(src, "l")
		o, moved := src.Detach()
		if err := f.Rename("k", o, moved, src); err != nil {
			t.Fatal(err)
		}
		src.Drop()
		g.wait()
		g.has("k", data)
		g.keys("k")
		g.idle()
	})
}

// TestCopyThenEdit writes into the copy before and after it is published.
func TestCopyThenEdit(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 20<<20)
		f := g.create("l")
		g.copyRange(f, g.existing("k", data), 0, 20<<20)
		g.write(f, []byte("edit"), 7)
		want := patched(data, "edit", 7)
		g.reads(f, want)
		g.closeFile(f)
		g.wait()
		g.has("l", want)
		g.open(f)
		g.write(f, []byte("more"), int64(len(want)))
		g.closeFile(f)
		g.wait()
		g.has("l", append(want, "more"...))
		g.has("k", data)
		g.idle()
	})
}

// TestCopyOverAFile replaces versions that are published, and that are not yet.
func TestCopyOverAFile(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 3<<20)
		src := g.existing("k", data)
		over := func(f *File) {
			g.open(f)
			if err := f.Clear(context.Background()); err != nil {
				t.Fatal(err)
			}
			if n := g.copyRange(f, src, 0, 3<<20); n != 3<<20 {
				t.Fatalf("%d bytes copied", n)
			}
			g.closeFile(f)
		}
		over(g.existing("published", []byte("old")))
		over(g.put("closed", []byte("old")))
		being := g.put("being", []byte("old"))
		time.Sleep(writeSettle + time.Millisecond)
		over(being)
		g.wait()
		for _, key := range []string{"published", "closed", "being"} {
			g.has(key, data)
		}
		g.idle()
	})
}

// TestCopyInRanges: a file that grows range by range is published with its close, and
// whoever changes the source before gets what was copied until then out of the way.
func TestCopyInRanges(t *testing.T) {
	data := writePattern(1, 20<<20)
	const step = 4 << 20
	t.Run("whole", func(t *testing.T) {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			src := g.existing("k", data)
			g.server.ClearRequests()
			f := g.create("l")
			for off := int64(0); off < 20<<20; off += step {
				if n := g.copyRange(f, src, off, step); n != step {
					t.Fatalf("%d bytes copied at %d", n, off)
				}
				if off == step {
					time.Sleep(time.Minute)
				}
			}
			g.closeFile(f)
			g.wait()
			if got := g.ops(); got != "HeadObject HeadObject CopyObject" { // of the source, then of the target
				t.Errorf("requests: %s", got)
			}
			g.has("l", data)
			g.idle()
		})
	})
	t.Run("the beginning", func(t *testing.T) {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			src := g.existing("k", data)
			f := g.create("l")
			g.copyRange(f, src, 0, 3*step)
			g.closeFile(f)
			g.wait()
			g.has("l", data[:3*step])
			if got := g.moved(); got != "" {
				t.Errorf("requests: %s", got)
			}
			g.idle()
		})
	})
	t.Run("with holes", func(t *testing.T) {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			src := g.existing("k", data)
			f := g.create("l")
			if err := f.Truncate(context.Background(), 20<<20); err != nil {
				t.Fatal(err)
			}
			g.copyRange(f, src, 2*step, step)
			g.closeFile(f)
			g.wait()
			want := make([]byte, 20<<20)
			copy(want[2*step:3*step], data[2*step:])
			g.has("l", want)
			g.idle()
		})
	})
	t.Run("the source changes meanwhile", func(t *testing.T) {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			src := g.existing("k", data)
			f := g.create("l")
			g.copyRange(f, src, 0, 3*step)
			g.open(src)
			g.write(src, []byte("new"), 0)
			if err := src.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
			if n := g.copyRange(f, src, 3*step, step); n != 0 {
				t.Errorf("%d bytes of another version copied", n)
			}
			g.write(f, []byte("rest"), 3*step)
			g.closeFile(f)
			g.closeFile(src)
			g.wait()
			g.has("l", append(data[:3*step:3*step], "rest"...))
			g.has("k", patched(data, "new", 0))
			g.idle()
		})
	})
}

// TestCopyIsLeftToReadingAndWriting is everything that a reference cannot say.
func TestCopyIsLeftToReadingAndWriting(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 3<<20)
		src := g.existing("k", data)
		refused := func(why string, dst, src *File, off int64) {
			t.Helper()
			if n := g.copyRange(dst, src, off, 3<<20); n != 0 {
				t.Errorf("%s: %d bytes copied", why, n)
			}
		}
		refused("onto itself", src, src, 0)
		refused("behind the end", g.create("l1"), src, 3<<20)
		refused("a source that is not published", g.create("l2"), g.put("new", data), 0)
		written := g.create("l3")
		g.write(written, []byte("x"), 0)
		refused("into a file with bytes", written, src, 0)
		refused("into a file of the bucket", g.existing("m", data), src, 0)
		refused("of two files", func() *File { f := g.create("l4"); g.copyRange(f, src, 0, 1<<20); return f }(), g.existing("k2", data), 1<<20)
		gone := g.create("l5")
		if _, err := g.engine.Remove(context.Background(), gone); err != nil {
			t.Fatal(err)
		}
		refused("into an unlinked file", gone, src, 0)
		changed := g.existing("changed", data)
		g.server.PutObject("changed", data[:1<<20], nil)
		refused("a source that another client changed", g.create("l6"), changed, 0)
		release := g.engine.ForbidCopies("k")
		refused("a source that is about to go", g.create("l7"), src, 0)
		release()
		if _, err := g.engine.Remove(context.Background(), src); err != nil {
			t.Fatal(err)
		}
		refused("an unlinked source", g.create("l8"), src, 0)
	})
}

// TestCopyOfAVersionThatAnotherClientReplaced: the copy fails loudly, keeps nobody
// waiting, and what is held here of the version is enough.
func TestCopyOfAVersionThatAnotherClientReplaced(t *testing.T) {
	for _, cached := range []bool{false, true} {
		cachedSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			data := writePattern(1, 3<<20)
			src := g.existing("k", data)
			f := g.duplicate(src, "l")
			if cached {
				g.reads(f, data)
				g.settle()
			}
			g.server.PutObject("k", []byte("theirs"), nil)
			time.Sleep(time.Minute)
			if cached {
				g.wait()
				g.has("l", data)
				return
			}
			st := g.engine.Status("l")
			if len(st) != 1 || st[0].State != StateFailed || !errors.Is(st[0].Err, ErrConflict) {
				t.Errorf("status: %+v", st)
			}
			if _, ok := g.server.Object("l"); ok {
				t.Error("something was published")
			}
			if _, err := g.engine.Remove(context.Background(), src); err != nil { // does not wait for it
				t.Error(err)
			}
			if _, err := g.engine.Remove(context.Background(), f); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSourceOfACopyWhenTheBucketIsAway: what would have to wait for the copy fails.
func TestSourceOfACopyWhenTheBucketIsAway(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 3<<20)
		src := g.existing("k", data)
		g.duplicate(src, "l")
		g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Drop: true} })
		ctx, stop := context.WithTimeout(context.Background(), time.Hour)
		defer stop()
		if _, err := g.engine.Remove(ctx, src); err == nil || ctx.Err() != nil {
			t.Errorf("unlink: %v", err)
		}
		if _, err := g.engine.MoveObject(ctx, src, "m", nil, nil); err == nil || ctx.Err() != nil {
			t.Errorf("rename: %v", err)
		}
		g.server.Fault(nil)
		g.wait()
		g.has("l", data)
		g.keys("k", "l")
		g.idle()
	})
}

// TestCopyIntoADirectoryThatIsRenamed: its source goes along.
func TestCopyIntoADirectoryThatIsRenamed(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 3<<20)
		f := g.duplicate(g.existing("d/k", data), "d/l")
		if err := g.engine.SettleBelow(context.Background(), "d", f); err != nil {
			t.Fatal(err)
		}
		if f.Dirty() {
			t.Error("the copy is not published, and its source may go")
		}
		synctest.Wait()
	})
}

func TestCopyOfMoreThanOneRequestCanCopy(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		const size = 11 << 30
		etag := g.server.PutPattern("k", size)
		src := g.engine.Open(s3.Object{Key: "k", ETag: etag, Size: size}, writeMeta())
		g.server.ClearRequests()
		f := g.create("l")
		const most = 1<<32 - 4096 // what one answer can say
		for off := int64(0); off < size; {
			n := g.copyRange(f, src, off, most)
			if n != min(most, size-off) {
				t.Fatalf("%d bytes copied at %d", n, off)
			}
			off += n
		}
		g.closeFile(f)
		g.wait()
		if got := g.moved(); got != "" {
			t.Errorf("requests: %s", got)
		}
		o, err := g.bucket.Head(context.Background(), "l")
		if err != nil || o.Size != size {
			t.Errorf("%+v, %v", o, err)
		}
		g.keys("k", "l")
		g.idle()
	})
}

// After a crash a copy on top of another version that waits still comes before what happened
// to its source later.
func TestCopyOverAnUnpublishedFileComesFirstAfterACrash(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := []byte("the bytes of both")
		src := g.existing("k", data)
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if s3test.Op(r) == "HeadObject" {
				return nil
			}
			return &s3test.Fault{Drop: true}
		})
		f := g.put("l", []byte("first"))
		g.open(f)
		check(t, f.Clear(context.Background()))
		g.copyRange(f, src, 0, 1<<20)
		g.closeFile(f)
		g.rewrite(src, []byte("other bytes"))
		g.kill(func(string) {})
		g.server.Fault(nil)
		g.start()
		g.wait()
		g.has("l", data)
		g.has("k", []byte("other bytes"))
		g.keys("k", "l")
		g.idle()
	})
}

// TestCopyBehindAnotherVersionAfterACrash: the version below is published meanwhile,
// and is not what the copy is of.
func TestCopyBehindAnotherVersionAfterACrash(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := []byte("the bytes of both")
		src := g.existing("k", data)
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			switch s3test.Op(r) {
			case "PutObject":
				return &s3test.Fault{Delay: 5 * time.Second}
			case "CopyObject":
				return &s3test.Fault{Drop: true}
			}
			return nil
		})
		f := g.put("l", []byte("first"))
		after(2 * time.Second)
		g.open(f)
		if err := f.Clear(context.Background()); err != nil {
			t.Fatal(err)
		}
		g.copyRange(f, src, 0, 1<<20)
		g.closeFile(f)
		after(10 * time.Second)
		g.has("l", []byte("first"))
		g.crash()
		g.wait()
		g.has("l", data)
		g.has("k", data)
		g.idle()
	})
}
