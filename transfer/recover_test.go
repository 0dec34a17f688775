package transfer

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

func TestCrashOfAnOpenFile(t *testing.T) {
	for _, size := range []int{10, 24 << 20} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.write(g.create("k"), writePattern(1, size), 0)
			g.crash()
			if fmt.Sprint(g.found.Unfinished) != "[k]" || len(g.found.Files) != 0 {
				t.Errorf("found %+v", g.found)
			}
			g.wait()
			g.keys()
			g.idle()
			if ids, err := g.journal.Spool.IDs(); len(ids) != 0 || err != nil || g.journal.Spool.Used() != 0 {
				t.Errorf("spool files left: %v, %v", ids, err)
			}
		})
	}
}

func TestCrashAfterTheClose(t *testing.T) {
	for _, size := range []int{0, 10, 17 << 20, 24 << 20} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			data := writePattern(1, size)
			g.put("k", data)
			g.crash()
			if len(g.found.Files) != 1 || len(g.found.Unfinished) != 0 {
				t.Fatalf("found %+v", g.found)
			}
			g.reads(g.found.Files[0], data)
			g.wait()
			g.has("k", data)
			g.keys("k")
			g.idle()
		})
	}
}

func TestCrashAfterAFlushAndMoreWrites(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, []byte("kept"), 0)
		if err := f.Flush(context.Background()); err != nil { // a close of a copied descriptor
			t.Fatal(err)
		}
		g.write(f, []byte("lost"), 4)
		g.crash()
		g.wait()
		g.has("k", []byte("kept"))
	})
}

// The request that publishes was carried out; its answer never came.
func TestCrashAfterThePublication(t *testing.T) {
	for _, op := range []string{"PutObject", "CompleteMultipartUpload", "CopyObject"} {
		for _, begin := range []string{"new", "edit"} {
			t.Run(op+" "+begin, func(t *testing.T) {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					size := 10
					if op == "CompleteMultipartUpload" {
						size = 24 << 20
					}
					data := writePattern(1, size)
					var f *File
					if begin == "new" && op != "CopyObject" {
						f = g.create("k")
						g.write(f, data, 0)
					} else {
						f = g.existing("k", slices.Clone(data))
						g.open(f)
						if op != "CopyObject" {
							data[3]++
							g.write(f, data[3:4], 3)
						}
					}
					if op == "CopyObject" {
						if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o700 }); err != nil {
							t.Fatal(err)
						}
					}
					g.server.Fault(func(r *http.Request) *s3test.Fault {
						switch s3test.Op(r) {
						case op:
							return &s3test.Fault{LoseAnswer: true}
						case "HeadObject":
							return &s3test.Fault{NoAnswer: true}
						}
						return nil
					})
					g.closeFile(f)
					after(10 * time.Second)
					g.crash()
					g.server.ClearRequests()
					g.wait()
					g.has("k", data)
					g.keys("k")
					if ops := g.ops(); bytes.Contains([]byte(ops), []byte("UploadPart")) {
						t.Errorf("what was there was sent again: %s", ops)
					}
					g.idle()
				})
			})
		}
	}
}

// A version was published without an answer, the next was closed: after the crash
// the bucket gets the newest.
func TestCrashBehindAnAmbiguousPublication(t *testing.T) {
	for _, size := range []int{10, 24 << 20} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			data := writePattern(1, size)
			g.server.Fault(func(r *http.Request) *s3test.Fault {
				switch s3test.Op(r) {
				case "PutObject", "CompleteMultipartUpload":
					return &s3test.Fault{LoseAnswer: true}
				case "HeadObject":
					return &s3test.Fault{NoAnswer: true}
				}
				return nil
			})
			f := g.put("k", data)
			after(10 * time.Second)
			g.has("k", data)
			g.open(f)
			data[3]++
			g.write(f, data[3:4], 3)
			g.closeFile(f)
			g.crash()
			g.wait()
			g.has("k", data)
			g.keys("k")
			g.idle()
		})
	}
}

func TestCrashWithTwoVersions(t *testing.T) {
	for name, second := range map[string]func(g *writeRig, f *File) []byte{
		"patched": func(g *writeRig, f *File) []byte {
			g.write(f, []byte("22"), 1)
			return []byte("022345")
		},
		"written over": func(g *writeRig, f *File) []byte {
			g.write(f, []byte("abcdefgh"), 0)
			return []byte("abcdefgh")
		},
		"truncated": func(g *writeRig, f *File) []byte {
			if err := f.Truncate(context.Background(), 0); err != nil {
				g.t.Fatal(err)
			}
			g.write(f, []byte("new"), 0)
			return []byte("new")
		},
		"other metadata": func(g *writeRig, f *File) []byte {
			if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o700 }); err != nil {
				g.t.Fatal(err)
			}
			return []byte("012345")
		},
	} {
		for _, begin := range []string{"new", "edit"} {
			t.Run(name+" "+begin, func(t *testing.T) {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					f := g.existing("k", []byte("old object"))
					g.open(f)
					if begin == "new" {
						g.server.Delete("k")
						f = g.create("k")
					}
					if err := f.Truncate(context.Background(), 0); err != nil {
						t.Fatal(err)
					}
					g.write(f, []byte("012345"), 0)
					g.closeFile(f)
					g.open(f)
					want := second(g, f)
					g.closeFile(f)
					g.crash()
					if len(g.found.Files) != 1 {
						t.Errorf("%d files, want one", len(g.found.Files))
					}
					g.wait()
					g.has("k", want)
					g.keys("k")
					g.idle()
				})
			})
		}
	}
}

// The first of two versions is in the bucket, and the journal knows; then the crash.
func TestCrashBetweenTwoPublications(t *testing.T) {
	for name, second := range map[string]func(g *writeRig, f *File) []byte{
		"patched": func(g *writeRig, f *File) []byte {
			g.write(f, []byte("22"), 1)
			return []byte("022345")
		},
		"written over": func(g *writeRig, f *File) []byte {
			g.write(f, []byte("abcdefgh"), 0)
			return []byte("abcdefgh")
		},
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				g.fault("PutObject", 1, s3test.Fault{Delay: 5 * time.Second})
				f := g.put("k", []byte("012345"))
				after(2 * writeSettle) // it is being sent
				g.open(f)
				want := second(g, f)
				g.closeFile(f)
				for g.server.Count("HeadObject") == 0 {
					if _, ok := g.server.Object("k"); ok {
						break
					}
					after(time.Second / 10)
				}
				synctest.Wait()
				g.has("k", []byte("012345"))
				g.crash()
				g.wait()
				g.has("k", want)
				g.keys("k")
				g.idle()
			})
		})
	}
}

// A file was renamed while it was being published; then the crash.
func TestCrashAfterRenameWhilePublishing(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("PutObject", 1, s3test.Fault{Delay: 5 * time.Second})
		f := g.put("old", []byte("data"))
		after(2 * writeSettle)
		if err := f.Rename("new", nil, nil); err != nil {
			t.Fatal(err)
		}
		g.crash()
		g.wait()
		g.has("new", []byte("data"))
		g.keys("new")
		g.idle()
	})
}

func TestCloseAndReopen(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		small, large := []byte("small"), writePattern(1, 24<<20)
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if r.Method == http.MethodPut {
				return &s3test.Fault{NoAnswer: true}
			}
			return nil
		})
		g.put("a", small)
		g.put("b", large)
		after(2 * writeSettle)
		g.stop()
		g.server.Fault(nil)
		g.start()
		g.wait()
		g.has("a", small)
		g.has("b", large)
		g.keys("a", "b")
		g.idle()
	})
}

// An unlinked file's object is deleted with the last close, also by the next mount.
func TestCrashWithADoomedObject(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("k", []byte("data"))
		g.open(f)
		if _, err := g.engine.Remove(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		g.keys("k")
		g.crash()
		if len(g.found.Doomed) != 1 || g.found.Doomed[0].Key != "k" {
			t.Errorf("found %+v", g.found)
		}
		after(time.Second)
		g.keys()
		g.idle()
	})
}

// Two closed versions are folded into one while a third, which builds on them, is being
// written.
func TestCrashAfterAFold(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		want := writePattern(1, 100)
		g.fault("PutObject", -1, s3test.Fault{Status: 503})
		f := g.put("k", want)
		for i := range 2 {
			g.open(f)
			g.write(f, []byte{byte(i)}, int64(10*i))
			want[10*i] = byte(i)
			if i == 0 {
				g.closeFile(f)
			}
		}
		if err := f.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		after(3 * writeSettle)
		g.crash()
		g.wait()
		g.has("k", want)
		g.keys("k")
		g.idle()
	})
}

// A mode that was set between the last write and the close is in the journal.
func TestCrashAfterALateChangeOfTheMode(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, []byte("data"), 0)
		if err := f.Flush(context.Background()); err != nil { // of a copy of the descriptor
			t.Fatal(err)
		}
		if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }); err != nil {
			t.Fatal(err)
		}
		g.closeFile(f)
		g.crash()
		g.wait()
		o, err := g.bucket.Head(context.Background(), "k")
		if m := ReadMeta(&o, Meta{}); err != nil || m.Mode != ModeFile|0o600 {
			t.Errorf("mode %o, %v; want %o", m.Mode, err, ModeFile|0o600)
		}
	})
}

// A file leaves its name, another one takes it, and the first is written again: it
// still builds on the object that the second will replace.
func TestCrashKeepsTheOrderOfNames(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		want := writePattern(1, 20<<20)
		f := g.existing("a", want)
		old := f.Object()
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				return nil
			}
			return &s3test.Fault{Status: 503}
		})
		edit := func(text string, off int64) {
			g.open(f)
			g.write(f, []byte(text), off)
			copy(want[off:], text)
			g.closeFile(f)
		}
		edit("one", 0)
		if err := f.Rename("b", nil, nil); err != nil {
			t.Fatal(err)
		}
		second, err := g.engine.Create("a", old, writeMeta())
		if err != nil {
			t.Fatal(err)
		}
		g.open(second)
		g.write(second, []byte("second"), 0)
		g.closeFile(second)
		edit("two", 10<<20)
		g.crash()
		g.wait()
		g.has("a", []byte("second"))
		g.has("b", want)
		g.keys("a", "b")
		g.idle()
	})
}

// What is written to a file that was unlinked brings its record not back.
func TestCrashOfAnUnlinkedFile(t *testing.T) {
	for name, change := range map[string]func(f *File) error{
		"write":    func(f *File) error { _, err := f.WriteAt(context.Background(), []byte("x"), 10); return err },
		"punch":    func(f *File) error { return f.PunchHole(context.Background(), 10, 20) },
		"truncate": func(f *File) error { return f.Truncate(context.Background(), 50) },
		"mode":     func(f *File) error { return f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }) },
		"fsync":    func(f *File) error { return f.Sync(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.create("k")
				g.write(f, writePattern(1, 100), 0)
				if err := f.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
				g.remove(f)
				if err := change(f); err != nil {
					t.Fatal(err)
				}
				if err := f.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
				g.crash()
				g.wait()
				g.keys()
				g.idle()
			})
		})
	}
}

// TestLateRequestOfAnEarlierProcess has the store carry out the PUT of a process that was
// killed after the next one has looked for it: the version that it makes is nobody else's.
func TestLateRequestOfAnEarlierProcess(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.put("k", []byte("first"))
		f.mu.Lock()
		born := f.chain[0].born
		f.mu.Unlock()
		g.open(f)
		g.write(f, []byte("second"), 0)
		g.closeFile(f)
		g.crash()
		late := false
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if r.Method == http.MethodPut && !late {
				late = true
				g.server.PutObject("k", []byte("first"), http.Header{"X-Amz-Meta-S3mount-Id": {born}})
			}
			return nil
		})
		g.wait()
		g.has("k", []byte("second"))
		g.keys("k")
		if !late {
			t.Error("nothing was sent")
		}
		g.idle()
	})
}
