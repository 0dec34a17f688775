package transfer

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// rename moves a file as the names do, when nothing is at the new key.
func (g *writeRig) rename(f *File, key string) {
	g.t.Helper()
	err := g.engine.Settle(context.Background(), key, f)
	if err != nil {
		g.t.Fatalf("rename to %q: %v", key, err)
	}
	if f.Dirty() {
		err = f.Rename(key, nil, nil)
	} else {
		_, err = g.engine.MoveObject(context.Background(), f, key, nil, nil)
	}
	if err != nil {
		g.t.Fatalf("rename to %q: %v", key, err)
	}
}

func (g *writeRig) remove(f *File) {
	g.t.Helper()
	if _, err := g.engine.Remove(context.Background(), f); err != nil {
		g.t.Fatalf("unlink: %v", err)
	}
}

func TestRenameFoldsIntoThePut(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.put(".a.tmp", []byte("data"))
		g.rename(f, "a")
		if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o755 }); err != nil {
			t.Fatal(err)
		}
		after(3 * writeSettle)
		if got := g.ops(); got != "PutObject" {
			t.Errorf("sent %q", got)
		}
		g.has("a", []byte("data"))
		g.keys("a")
		g.idle()
	})
}

// A file that streamed under its first name gets the second by a copy.
func TestRenameOfAStreamedFile(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 24<<20)
		f := g.create("a.new")
		g.write(f, data, 0)
		synctest.Wait()
		g.closeFile(f)
		g.rename(f, "a")
		g.wait()
		g.has("a", data)
		g.keys("a")
		g.reads(f, data)
		g.idle()
	})
}

func TestRenameWhilePublishing(t *testing.T) {
	for _, size := range []int{10, 24 << 20} {
		for _, op := range []string{"PutObject", "CompleteMultipartUpload"} {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				data := writePattern(1, size)
				g.fault(op, 1, s3test.Fault{Delay: 5 * time.Second})
				f := g.put("old", data)
				after(3 * writeSettle)
				g.rename(f, "new")
				g.reads(f, data)
				g.wait()
				g.has("new", data)
				g.keys("new")
				g.reads(f, data)
				g.idle()
			})
		}
	}
}

func TestRenameOverAnUnpublishedFile(t *testing.T) {
	for _, publishing := range []bool{false, true} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			victim := g.put("k", []byte("old"))
			f := g.put("k.new", []byte("new"))
			if publishing {
				g.fault("PutObject", 2, s3test.Fault{Delay: 5 * time.Second})
				after(2 * writeSettle)
			}
			object, moved := victim.Detach()
			if err := f.Rename("k", object, moved); err != nil {
				t.Fatal(err)
			}
			victim.Drop()
			g.wait()
			g.has("k", []byte("new"))
			g.keys("k")
			g.idle()
		})
	}
}

// Renaming there and back leaves the object where it was.
func TestRenameThereAndBack(t *testing.T) {
	for name, change := range map[string]func(g *writeRig, f *File) []byte{
		"metadata": func(g *writeRig, f *File) []byte {
			if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o755 }); err != nil {
				g.t.Fatal(err)
			}
			return []byte("0123456789")
		},
		"bytes": func(g *writeRig, f *File) []byte {
			g.write(f, []byte("ZZ"), 0)
			return []byte("ZZ23456789")
		},
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.existing("a", []byte("0123456789"))
				g.open(f)
				want := change(g, f)
				g.closeFile(f)
				g.rename(f, "b")
				g.rename(f, "a")
				g.wait()
				g.has("a", want)
				g.keys("a")
				g.idle()
			})
		})
	}
}

func TestUnlinkOfUnpublished(t *testing.T) {
	for _, size := range []int{10, 24 << 20} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.put("k", writePattern(1, size))
			g.remove(f)
			if err := f.Sync(context.Background()); err != nil {
				t.Errorf("fsync of an unlinked file: %v", err)
			}
			after(time.Minute)
			if n := g.server.Count("DeleteObject") + g.server.Count("PutObject") + g.server.Count("CompleteMultipartUpload"); n != 0 {
				t.Errorf("sent %s", g.ops())
			}
			g.keys()
			g.idle()
			f.Forget()
			if n := g.journal.Spool.Used(); n != 0 {
				t.Errorf("%d bytes of spool left", n)
			}
		})
	}
}

func TestUnlinkWhileOpen(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.put("k", []byte("data"))
		g.wait()
		if err := f.OpenHandle(false); err != nil {
			t.Fatal(err)
		}
		g.remove(f)
		after(time.Minute)
		g.keys("k")
		g.reads(f, []byte("data"))
		f.CloseHandle(false)
		after(time.Minute)
		g.keys()
		g.idle()
	})
}

func TestUnlinkAndRecreate(t *testing.T) {
	for _, open := range []bool{false, true} {
		for _, bytes := range []string{"new", "old"} { // also those of the version that goes
			unlinkAndRecreate(t, open, bytes)
		}
	}
}

func unlinkAndRecreate(t *testing.T, open bool, bytes string) {
	for _, known := range []bool{false, true} { // whether the object was asked for what it carries
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.put("k", []byte("old"))
			g.wait()
			if !known {
				o := *f.Object()
				o.HasProps, o.Props = false, s3.Properties{}
				f = g.engine.Open(o, writeMeta())
			}
			if open {
				g.open(f)
			}
			object := f.Object()
			g.remove(f)
			if !open {
				object = nil
			}
			n, err := g.engine.Create("k", object, writeMeta())
			if err != nil {
				t.Fatal(err)
			}
			g.open(n)
			g.write(n, []byte(bytes), 0)
			g.closeFile(n)
			g.wait()
			if open {
				f.CloseHandle(true)
				g.wait()
			}
			g.has("k", []byte(bytes))
			g.keys("k")
			g.idle()
		})
	}
}

// An answer was lost and nobody could tell; then the user unlinked or renamed.
func TestNothingIsLeftOfALostPut(t *testing.T) {
	for _, rename := range []bool{false, true} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.server.Fault(func(r *http.Request) *s3test.Fault {
				switch s3test.Op(r) {
				case "PutObject":
					return &s3test.Fault{LoseAnswer: true}
				case "HeadObject":
					return &s3test.Fault{Status: 503, Code: "SlowDown"}
				}
				return nil
			})
			f := g.put("k", []byte("data"))
			for len(g.server.Keys()) == 0 || f.lastError() == nil {
				after(time.Second / 4)
			}
			g.server.Fault(nil)
			if rename {
				g.rename(f, "new")
				g.wait()
				g.has("new", []byte("data"))
				g.keys("new")
			} else {
				g.remove(f)
				g.wait()
				g.keys()
			}
			g.idle()
		})
	}
}

func (f *File) lastError() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastErr
}

func TestLostAnswers(t *testing.T) {
	for op, size := range map[string]int{"PutObject": 10, "CompleteMultipartUpload": 24 << 20, "CreateMultipartUpload": 24 << 20, "UploadPart": 24 << 20} {
		t.Run(op, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				g.fault(op, 1, s3test.Fault{LoseAnswer: true})
				f := g.put("k", writePattern(1, size))
				g.wait()
				g.has("k", writePattern(1, size))
				if got := g.server.Keys(); len(got) != 1 {
					t.Errorf("conflict with ourselves: %q", got)
				}
				if g.server.Header("k").Get("ETag") != f.Object().ETag {
					t.Error("the file's ETag is not the object's")
				}
				g.idle()
			})
		})
	}
}

func TestUploadLostInTheMiddle(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 40<<20)
		f := g.create("k")
		g.write(f, data[:24<<20], 0)
		synctest.Wait()
		g.server.DropUploads()
		g.write(f, data[24<<20:], 24<<20)
		g.closeFile(f)
		g.wait()
		g.has("k", data)
		g.keys("k")
		g.idle()
	})
}

func TestErrorStorms(t *testing.T) {
	for _, fault := range []s3test.Fault{{Status: 500, Code: "InternalError"}, {Status: 503, Code: "SlowDown"}, {Drop: true}, {LoseAnswer: true}} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			var count atomic.Uint64
			g.server.Fault(func(r *http.Request) *s3test.Fault {
				if n := count.Add(1); n*2654435761>>16%4 != 0 {
					return &fault
				}
				return nil
			})
			small, large := writePattern(1, 100), writePattern(2, 18<<20)
			g.put("small", small)
			g.put("large", large)
			g.wait()
			g.server.Fault(nil)
			g.has("small", small)
			g.has("large", large)
			if got := g.server.Keys(); len(got) != 2 {
				t.Errorf("the bucket holds %q", got)
			}
			g.idle()
		})
	}
}

func TestDeniedKeepsTheFile(t *testing.T) {
	for op, size := range map[string]int{"PutObject": 10, "UploadPart": 20 << 20, "CreateMultipartUpload": 20 << 20} {
		t.Run(op, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				data := writePattern(1, size)
				g.fault(op, -1, s3test.Fault{Status: 403, Code: "AccessDenied"})
				f := g.put("k", data)
				if err := f.Sync(context.Background()); !errors.Is(err, s3.ErrDenied) {
					t.Errorf("fsync: %v", err)
				}
				if err := g.engine.Wait(context.Background(), ""); !errors.Is(err, s3.ErrDenied) || !strings.Contains(err.Error(), `"k"`) {
					t.Errorf("wait: %v", err)
				}
				g.reads(f, data)
				g.crash()
				g.wait()
				g.has("k", data)
			})
		})
	}
}

func TestConflictKeepsBoth(t *testing.T) {
	theirs := []byte("theirs")
	for name, size := range map[string]int{"small": 10, "large": 20 << 20} {
		for _, begin := range []string{"new", "edit"} {
			t.Run(name+" "+begin, func(t *testing.T) {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					data := writePattern(1, size)
					f := g.existing("dir/k.mov", []byte("before"))
					g.open(f)
					if begin == "new" {
						g.server.Delete("dir/k.mov")
						f = g.create("dir/k.mov")
					}
					g.write(f, data, 0)
					g.server.PutObject("dir/k.mov", theirs, nil)
					g.closeFile(f)
					g.wait()
					g.has("dir/k.mov", data)
					keys := g.server.Keys()
					if len(keys) != 2 || !strings.HasPrefix(keys[0], "dir/k (conflict here ") || !strings.HasSuffix(keys[0], ").mov") {
						t.Fatalf("the bucket holds %q", keys)
					}
					g.has(keys[0], theirs)
					g.idle()
				})
			})
		}
	}
}

func TestDeletedByAnother(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("k", []byte("before"))
		g.open(f)
		g.write(f, []byte("all new bytes"), 0)
		g.server.Delete("k")
		g.closeFile(f)
		g.wait()
		g.has("k", []byte("all new bytes"))
		g.keys("k")
		g.idle()
	})
}

// The metadata of a file changed here, its bytes elsewhere: theirs stay, and trying
// does not turn into a storm of requests.
func TestMetadataOfAChangedObject(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("k", []byte("before"))
		g.server.PutObject("k", []byte("theirs"), nil)
		if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o700 }); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(context.Background()); err != nil {
			t.Errorf("fsync: %v", err)
		}
		if n := len(g.server.Requests()); n > 20 {
			t.Errorf("%d requests", n)
		}
		g.has("k", []byte("theirs"))
		if got := g.server.Keys(); !slices.Equal(got, []string{"k"}) {
			t.Errorf("the bucket holds %q", got)
		}
		f.Drop()
	})
}

func TestMetadataOfAPublishedFile(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 20<<20)
		f := g.put("k", data)
		g.wait()
		g.ops()
		for _, mode := range []uint32{0o600, 0o640} {
			if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | mode }); err != nil {
				t.Fatal(err)
			}
		}
		g.wait()
		if got := g.ops(); got != "CopyObject" {
			t.Errorf("sent %q", got)
		}
		if mode := g.server.Header("k").Get("X-Amz-Meta-Mode"); mode != "33184" {
			t.Errorf("mode %s", mode)
		}
		g.has("k", data)
		g.reads(f, data)
		g.idle()
	})
}

// The mode changes between two tries of a Complete; the file is one hole.
func TestMetadataBetweenTwoTries(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("CompleteMultipartUpload", -1, s3test.Fault{Status: 403, Code: "AccessDenied"})
		f := g.create("k")
		if err := f.Truncate(context.Background(), 20<<20); err != nil {
			t.Fatal(err)
		}
		g.closeFile(f)
		for f.lastError() == nil {
			after(time.Second / 10)
		}
		if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o700 }); err != nil {
			t.Fatal(err)
		}
		var reading atomic.Bool
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if s3test.Op(r) == "CopyObject" && reading.CompareAndSwap(false, true) {
				return &s3test.Fault{Delay: 3 * time.Second}
			}
			return nil
		})
		for !reading.Load() {
			after(time.Second / 10)
		}
		g.reads(f, make([]byte, 20<<20))
		g.wait()
		g.has("k", make([]byte, 20<<20))
		g.idle()
	})
}

func TestPublishedObjectStaysReadable(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 20<<20)
		f := g.put("k", data)
		g.wait()
		for g.engine.evictLocal() {
		}
		if n := g.journal.Spool.Used(); n != 0 {
			t.Errorf("%d bytes of spool left", n)
		}
		g.reads(f, data)
		g.open(f)
		g.write(f, []byte("!"), int64(len(data)))
		data = append(data, '!')
		g.reads(f, data)
		g.closeFile(f)
		g.rename(f, "k2")
		g.wait()
		g.reads(f, data)
		g.has("k2", data)
		g.keys("k2")
		g.rename(f, "k3")
		g.keys("k3")
		for g.engine.evictLocal() {
		}
		g.reads(f, data)
		g.idle()
	})
}

func TestCloseInBucket(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.engine.opts.CloseInBucket = true
		g.put("k", []byte("data"))
		g.has("k", []byte("data"))
		g.engine.opts.CloseInBucket, g.engine.opts.SyncInJournal = false, true
		f := g.create("k2")
		g.write(f, []byte("data"), 0)
		if err := f.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		g.keys("k")
		g.closeFile(f)
		g.wait()
		g.keys("k", "k2")
	})
}

func TestConflictName(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	const mark = " (conflict h-x 2024-05-06T07.08.09Z"
	for _, c := range []struct {
		key  string
		n    int
		want string
	}{
		{"a/b.mov", 0, "a/b" + mark + ").mov"},
		{"b", 2, "b" + mark + " 2)"},
		{"b (conflict y 2020-01-01T00.00.00Z).mov", 0, "b" + mark + ").mov"},
	} {
		if got := conflictName(c.key, "h/x", at, c.n); got != c.want {
			t.Errorf("%q: %q, want %q", c.key, got, c.want)
		}
	}
	long := conflictName("d/"+strings.Repeat("ü", 127)+".m", "h", at, 0)
	if len(long)-2 > 255 || !bytes.HasSuffix([]byte(long), []byte("Z).m")) {
		t.Errorf("%d bytes: %q", len(long), long)
	}
	for _, n := range []int{1, 30, 200} {
		dir := strings.Repeat(strings.Repeat("d", 100)+"/", 12)[:1024-n-1] + "/"
		got := conflictName(dir+strings.Repeat("n", n), "host", at, 12)
		if len(got) > 1024 || !strings.Contains(got, "(conflict host ") || strings.HasPrefix(got, dir+"n") != (n == 200) {
			t.Errorf("beside a key of 1024 bytes with a name of %d: %d bytes, %q", n, len(got), path.Base(got))
		}
	}
	if got := conflictName("a."+strings.Repeat("e", 253), "host", at, 0); len(got) > 255 || !strings.HasPrefix(got, "a.ee") {
		t.Errorf("of a name that is all extension: %d bytes, %q", len(got), got)
	}
}
