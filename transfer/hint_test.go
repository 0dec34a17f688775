package transfer

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

// A program that announces a large file gets large parts; what it announces once bytes
// are there changes nothing.
func TestAnnouncedSizeMakesThePartsFit(t *testing.T) {
	const size = 70 << 20
	for name, c := range map[string]struct {
		announce func(f *File) error
		late     bool
		parts    int
	}{
		"not":       {func(f *File) error { return nil }, false, 10},                                             // 5, 8 x 8, 1 MiB
		"fallocate": {func(f *File) error { return f.Allocate(context.Background(), 0, 100e9, true) }, false, 4}, // 5, 32, 32, 1
		"late":      {func(f *File) error { return f.Allocate(context.Background(), 0, 100e9, true) }, true, 10},
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				g.grow()
				data := writePattern(1, size)
				f := g.create("k")
				if c.late {
					g.write(f, data[:1], 0)
				}
				if err := c.announce(f); err != nil {
					t.Fatal(err)
				}
				for off := 0; off < size; off += 1 << 20 {
					g.write(f, data[off:off+1<<20], int64(off))
				}
				synctest.Wait()
				g.closeFile(f)
				g.wait()
				g.has("k", data)
				if got := strings.Count(g.ops(), "UploadPart"); got != c.parts {
					t.Errorf("%d parts, want %d", got, c.parts)
				}
			})
		})
	}
}

// The size that ftruncate gives is one, too, and it survives a crash with the parts.
func TestCrashKeepsTheAnnouncedSize(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.grow()
		f := g.create("k")
		if err := f.Truncate(context.Background(), 100e9); err != nil {
			t.Fatal(err)
		}
		data := writePattern(1, 70<<20)
		for off := 0; off < len(data); off += 1 << 20 {
			g.write(f, data[off:off+1<<20], int64(off))
		}
		if err := f.Truncate(context.Background(), int64(len(data))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		g.fault("CompleteMultipartUpload", -1, s3test.Fault{Status: 503})
		g.closeFile(f)
		after(3 * writeSettle)
		if got := strings.Count(g.ops(), "UploadPart"); got != 4 {
			t.Errorf("%d parts, want 4", got)
		}
		g.crash()
		g.wait()
		g.has("k", data)
		if got := strings.Count(g.ops(), "UploadPart"); got != 0 {
			t.Errorf("%d parts were sent again", got)
		}
		g.keys("k")
		g.idle()
	})
}

// fallocate(2) sets the modification time also where it changes no byte and no size, whether the
// file is being written or not.
func TestAllocateCountsAsAWrite(t *testing.T) {
	for _, keepSize := range []bool{false, true} {
		for _, written := range []bool{false, true} {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.existing("k", []byte("the bytes"))
				g.open(f)
				if written {
					g.write(f, []byte("THE"), 0)
				}
				set := time.Now().Add(-time.Hour).UnixNano()
				check(t, f.SetMeta(func(m *Meta) { m.MtimeNS = set }))
				check(t, f.Allocate(context.Background(), 0, 4, keepSize))
				if got := f.Meta().MtimeNS; got == set {
					t.Errorf("keep size %v, written %v: the time is still that which was set", keepSize, written)
				}
				g.closeFile(f)
				g.wait()
				if got, want := g.server.Header("k").Get("X-Amz-Meta-Mtime"), formatTime(f.Meta().MtimeNS); got != want {
					t.Errorf("keep size %v, written %v: mtime %s, want %s", keepSize, written, got, want)
				}
				g.idle()
			})
		}
	}
}

// A program that gives a file its size and calls fsync before the first byte, as aria2
// does, sends nothing by that, and its bytes once. Unless it writes any, zeros are published.
func TestSyncOfAPreallocatedFileSendsNothing(t *testing.T) {
	const size = 40 << 20
	begin := func(t *testing.T, g *writeRig) *File {
		g.grow()
		f := g.create("k")
		if err := f.Truncate(context.Background(), size); err != nil {
			t.Fatal(err)
		}
		g.ops()
		if err := f.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		after(3 * writeSettle)
		if got := g.ops(); got != "" {
			t.Errorf("fsync without a byte: %s", got)
		}
		return f
	}
	t.Run("written", func(t *testing.T) {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f, data := begin(t, g), writePattern(1, size)
			for off := 0; off < size/2; off += 1 << 20 { // two connections
				g.write(f, data[off:off+1<<20], int64(off))
				g.write(f, data[size/2+off:size/2+off+1<<20], int64(size/2+off))
			}
			if err := f.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
			g.has("k", data)
			g.closeFile(f)
			g.wait()
			if ops := g.ops(); strings.Count(ops, "CompleteMultipartUpload") != 1 || strings.Count(ops, "UploadPart") != 6 {
				t.Errorf("not sent once: %s", ops)
			}
			g.keys("k")
			g.idle()
		})
	})
	for name, end := range map[string]func(g *writeRig, f *File){
		"closed":  func(g *writeRig, f *File) { g.closeFile(f) },
		"crashed": func(g *writeRig, f *File) { g.crash() },
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				end(g, begin(t, g))
				g.wait()
				g.has("k", make([]byte, size))
				g.keys("k")
			})
		})
	}
}
