package transfer

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// theirs is the one conflict copy in the bucket.
func (g *writeRig) theirs() string {
	g.t.Helper()
	var found []string
	for _, k := range g.server.Keys() {
		if strings.Contains(k, " (conflict here ") {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		g.t.Fatalf("the bucket holds %q", g.server.Keys())
	}
	return found[0]
}

// opened makes the File of an object that HEAD has told about.
func (g *writeRig) opened(key string) *File {
	g.t.Helper()
	o, err := g.bucket.Head(context.Background(), key)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.engine.Open(o, ReadMeta(&o, writeMeta()))
}

// A part of a file was changed here; another client replaced or deleted the rest. On
// a bucket with versions nothing is missing.
func TestPartialEditOfAnOldVersion(t *testing.T) {
	for _, size := range []int{1000, 24 << 20} {
		for _, deleted := range []bool{false, true} {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				g.server.SetVersioned(true)
				data := writePattern(1, size)
				g.server.PutObject("k.mov", data, nil)
				f := g.opened("k.mov")
				g.open(f)
				g.write(f, []byte("ours"), 100)
				copy(data[100:], "ours")
				if deleted {
					g.server.Delete("k.mov")
				} else {
					g.server.PutObject("k.mov", []byte("theirs"), nil)
				}
				g.closeFile(f)
				g.wait()
				g.has("k.mov", data)
				if deleted {
					g.keys("k.mov")
				} else {
					g.has(g.theirs(), []byte("theirs"))
				}
				g.idle()
			})
		}
	}
}

// Without versions the bytes that were read, or written here before, are enough.
func TestPartialEditOfWhatIsHeldHere(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		cachedSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			data := writePattern(1, 5<<20)
			f := g.existing("k.mov", bytes.Clone(data))
			g.open(f)
			g.reads(f, data)
			g.settle()
			g.write(f, []byte("ours"), 100)
			copy(data[100:], "ours")
			if deleted {
				g.server.Delete("k.mov")
			} else {
				g.server.PutObject("k.mov", []byte("theirs"), nil)
			}
			g.closeFile(f)
			g.wait()
			g.has("k.mov", data)
			if !deleted {
				g.has(g.theirs(), []byte("theirs"))
			}
			g.idle()
		})
	}
}

// Where bytes of the edited version are nowhere any more, both sides stay as they
// are: theirs in the bucket, ours here, with an error that says so. It is tried again
// seldom, and when the user asks; then it works if the version is back.
func TestPartialEditOfWhatIsGone(t *testing.T) {
	for _, size := range []int{1000, 24 << 20} {
		for _, deleted := range []bool{false, true} {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				data := writePattern(1, size)
				f := g.existing("k.mov", bytes.Clone(data))
				g.open(f)
				g.write(f, []byte("ours"), 100)
				if deleted {
					g.server.Delete("k.mov")
				} else {
					g.server.PutObject("k.mov", []byte("theirs"), nil)
				}
				g.closeFile(f)
				if err := f.Sync(context.Background()); !errors.Is(err, ErrConflict) {
					t.Fatalf("fsync: %v; want ErrConflict", err)
				}
				if s := g.engine.Status(""); len(s) != 1 || !errors.Is(s[0].Err, ErrConflict) || !strings.Contains(s[0].Err.Error(), "bytes of that version are not") {
					t.Errorf("status %+v", s)
				}
				if deleted {
					g.keys()
				} else {
					g.keys("k.mov")
					g.has("k.mov", []byte("theirs"))
				}
				before := g.journal.Spool.Used()
				g.server.ClearRequests()
				time.Sleep(time.Hour + time.Minute) // between two tries
				if n := len(g.server.Requests()); n > 100 {
					t.Errorf("%d requests in an hour", n)
				}
				if now := g.journal.Spool.Used(); now > before {
					t.Errorf("the spool grew from %d to %d bytes", before, now)
				}
				g.kill(func(dir string) {})
				copy(data[100:], "ours")
				base := writePattern(1, size)
				g.server.PutObject("k.mov", base, nil)
				g.start()
				g.wait()
				g.has("k.mov", data)
				g.keys("k.mov")
				g.idle()
			})
		}
	}
}

// Another client's version above 5 GiB is kept too.
func TestConflictWithALargeVersion(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k.mov")
		g.write(f, []byte("ours"), 0)
		g.server.PutPattern("k.mov", 6<<30)
		g.closeFile(f)
		g.wait()
		g.has("k.mov", []byte("ours"))
		o, err := g.bucket.Head(context.Background(), g.theirs())
		if err != nil || o.Size != 6<<30 {
			t.Errorf("their version: %+v, %v", o, err)
		}
		g.idle()
	})
}

// A large object keeps what it carries when it is renamed.
func TestRenameOfALargeObject(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		etag := g.server.PutPattern("k", 11<<30)
		f := g.engine.Open(s3.Object{Key: "k", ETag: etag, Size: 11 << 30}, writeMeta())
		g.rename(f, "k2")
		g.keys("k2")
		if n := g.server.Count("UploadPartCopy"); n < 3 {
			t.Errorf("%d copies", n)
		}
		o, err := g.bucket.Head(context.Background(), "k2")
		if err != nil || o.Size != 11<<30 {
			t.Errorf("%+v, %v", o, err)
		}
	})
}

// The rename of a clean file over another one replaces the version that was seen, and
// no other. Neither MinIO nor versitygw holds preconditions on the target of a copy.
func TestRenameOverAChangedTarget(t *testing.T) {
	for name, change := range map[string]func(g *writeRig){
		"as seen": func(g *writeRig) {},
		"changed": func(g *writeRig) { g.server.PutObject("b.mov", []byte("theirs"), nil) },
		"deleted": func(g *writeRig) { g.server.Delete("b.mov") },
		"made":    func(g *writeRig) { g.server.PutObject("c.mov", []byte("theirs"), nil) },
	} {
		for _, held := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					g.server.HoldCopyConditions(held)
					src, dst := g.existing("a.mov", []byte("a")), g.existing("b.mov", []byte("b"))
					change(g)
					key, victim := "b.mov", dst
					if name == "made" {
						key, victim = "c.mov", nil
					}
					if _, err := g.engine.MoveObject(context.Background(), src, key, victim, nil); err != nil {
						t.Fatal(err)
					}
					g.has(key, []byte("a"))
					if name == "changed" || name == "made" {
						g.has(g.theirs(), []byte("theirs"))
					} else {
						g.keys("b.mov")
					}
				})
			})
		}
	}
}

// A copy whose answer was lost is no conflict with itself.
func TestRenameWithALostAnswer(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.server.HoldCopyConditions(true)
		g.engine.opts.ScratchKey = "scratch"
		f := g.existing("a", []byte("a"))
		g.engine.guard.known, g.engine.guard.holds = true, s3.Conditions{Writes: true, Copies: true}
		g.fault("CopyObject", 1, s3test.Fault{LoseAnswer: true})
		g.rename(f, "b")
		g.keys("b")
	})
}

// guarded lets the engine ask the store for its preconditions, as a mount does.
func (g *writeRig) guarded() {
	g.engine.opts.ScratchKey = "scratch"
}

// A store that ignores preconditions is asked before each publication: a change that
// came before is kept.
func TestStoreThatIgnoresPreconditions(t *testing.T) {
	for name, size := range map[string]int{"put": 10, "parts": 20 << 20} {
		for _, begin := range []string{"new", "edit", "meta"} {
			t.Run(name+" "+begin, func(t *testing.T) {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					g.server.IgnoreConditions(true)
					g.guarded()
					data := writePattern(1, size)
					f := g.existing("k.mov", []byte("before"))
					switch begin {
					case "meta":
						if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }); err != nil {
							t.Fatal(err)
						}
						g.rename(f, "k2.mov")
						g.server.PutObject("k2.mov", []byte("theirs"), nil)
						g.wait()
						g.has("k2.mov", []byte("before"))
						g.has(g.theirs(), []byte("theirs"))
						g.idle()
						return
					case "new":
						g.server.Delete("k.mov")
						f = g.create("k.mov")
					default:
						g.open(f)
					}
					g.write(f, data, 0)
					g.server.PutObject("k.mov", []byte("theirs"), nil)
					g.closeFile(f)
					g.wait()
					g.has("k.mov", data)
					g.has(g.theirs(), []byte("theirs"))
					g.idle()
				})
			})
		}
	}
}

// What the store holds is known before the scratch object is removed: where that takes long, or
// is refused, files get into the bucket all the same, and the next mount removes it.
func TestProbeThatCannotCleanUp(t *testing.T) {
	for name, fault := range map[string]s3test.Fault{
		"slow":   {Delay: 3 * time.Second},
		"denied": {Status: http.StatusForbidden, Code: "AccessDenied"},
		"silent": {NoAnswer: true},
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				g.guarded()
				g.server.Fault(func(r *http.Request) *s3test.Fault {
					if r.Method == http.MethodDelete {
						return &fault
					}
					return nil
				})
				g.put("a", []byte("a"))
				g.wait()
				g.has("a", []byte("a"))
				if !g.engine.guard.get().Writes {
					t.Error("the store holds preconditions, and that is not known")
				}
				g.stop()
				g.server.Fault(nil)
				g.start()
				g.guarded()
				g.put("b", []byte("b"))
				g.wait()
				g.keys("a", "b")
			})
		})
	}
}

// The store is asked once for each journal, with requests that cost little, and the
// scratch object does not stay.
func TestStoreIsProbedOnce(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.guarded()
		g.put("a", []byte("a"))
		g.put("b", []byte("b"))
		g.wait()
		probes := func() (n int) {
			for _, r := range g.server.Requests() {
				if r.Key == "scratch" {
					n++
				}
			}
			return n
		}
		if n := probes(); n == 0 || n > 6 {
			t.Errorf("%d requests", n)
		}
		g.keys("a", "b")
		g.crash()
		g.guarded()
		g.server.ClearRequests()
		g.put("c", []byte("c"))
		g.wait()
		if n := probes(); n != 0 {
			t.Errorf("%d requests after a restart", n)
		}
		if n := g.server.Count("HeadObject"); n != 0 {
			t.Errorf("%d HEADs though preconditions are held", n)
		}
		g.idle()
	})
}

// Who may not write the scratch key publishes all the same, after a HEAD.
func TestProbeDenied(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.guarded()
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if strings.HasSuffix(r.URL.Path, "/scratch") {
				return &s3test.Fault{Status: 403, Code: "AccessDenied"}
			}
			return nil
		})
		g.put("a", []byte("a"))
		g.wait()
		g.has("a", []byte("a"))
		if n := g.server.Count("HeadObject"); n != 1 {
			t.Errorf("%d HEADs", n)
		}
		g.idle()
	})
}

// A spool file's room is given back when bytes of the base cannot be fetched.
func TestFailedFillTakesNoRoom(t *testing.T) {
	writeSim(t, 64<<20, func(t *testing.T, g *writeRig) {
		f := g.existing("k", writePattern(1, 3<<20))
		g.open(f)
		g.write(f, []byte("ours"), 100)
		g.closeFile(f)
		g.fault("GetObject", -1, s3test.Fault{Status: 403, Code: "AccessDenied"})
		time.Sleep(time.Hour + time.Minute) // between two tries
		if used := g.journal.Spool.Used(); used > 4<<20 {
			t.Errorf("%d bytes booked for a file of 3 MiB", used)
		}
		g.server.Fault(nil)
		g.wait()
		g.idle()
		if !slices.Equal(g.server.Keys(), []string{"k"}) {
			t.Errorf("the bucket holds %q", g.server.Keys())
		}
	})
}

// Stores without CRC32C, or that do not combine it, take whole files, streams and edits all the same.
func TestStoresWithOtherChecksums(t *testing.T) {
	for _, sums := range []s3test.Sums{s3test.RefuseCRC32C, s3test.RefuseCRC32CWith400, s3test.RefuseAllCRC, s3test.IgnoreAllCRC, s3test.IgnoreTypes} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.server.SetSums(sums)
			data := writePattern(1, 32<<20)
			g.put("small", data[:1000])
			f := g.put("large", data)
			g.wait()
			g.open(f)
			g.write(f, []byte("ours"), 12<<20)
			copy(data[12<<20:], "ours")
			g.closeFile(f)
			g.wait()
			g.has("large", data)
			g.put("larger", data)
			g.wait()
			g.has("larger", data)
			g.idle()
		})
	}
}

// A request of a process that was killed is carried out after the next one has asked
// for the object: it is no conflict.
func TestLateRequestOfAKilledProcess(t *testing.T) {
	for _, op := range []string{"PutObject", "CompleteMultipartUpload", "CopyObject"} {
		t.Run(op, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				size := map[string]int{"PutObject": 10, "CompleteMultipartUpload": 20 << 20, "CopyObject": 20 << 20}[op]
				data, key := writePattern(1, size), "k"
				f := g.create("k")
				g.write(f, data, 0)
				if op == "CopyObject" {
					key = "k2"
					g.rename(f, key)
				}
				g.closeFile(f)
				records, err := g.journal.Records()
				for err == nil && (len(records) != 1 || records[0].Open) {
					after(time.Second / 10)
					records, err = g.journal.Records()
				}
				if err != nil {
					t.Fatal(err)
				}
				done := false
				g.server.Fault(func(r *http.Request) *s3test.Fault {
					if s3test.Op(r) == op && !done { // just before ours
						done = true
						records, err := g.journal.Records()
						if err != nil || len(records) != 1 {
							t.Errorf("%d records, %v", len(records), err)
							return nil
						}
						if op == "CompleteMultipartUpload" {
							g.server.DropUploads()
						}
						g.server.PutObject(key, data, http.Header{"X-Amz-Meta-S3mount-Id": {records[0].Publication}, "Content-Type": {"text/plain"}})
					}
					return nil
				})
				g.wait()
				if !done {
					t.Error("the request never came")
				}
				g.has(key, data)
				g.keys(key)
				g.idle()
			})
		})
	}
}

// An edit was begun above a change of the mode, which then meets the version of another
// client: the edit keeps to the version that it was made of.
func TestEditAboveAChangeOfTheModeIsNotMixed(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("k", []byte("0123456789"))
		g.open(f)
		g.reads(f, []byte("0123456789")) // its bytes are held here
		check(t, f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }))
		g.hook("CopyObject", "k", func() {
			g.write(f, []byte("ours"), 2)
			g.server.PutObject("k", []byte("THEIRS____"), nil)
		})
		after(time.Minute)
		g.closeFile(f)
		g.wait()
		g.has("k", []byte("01ours6789"))
		g.has(g.theirs(), []byte("THEIRS____"))
		g.idle()
	})
}
