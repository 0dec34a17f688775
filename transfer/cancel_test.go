package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

func (g *writeRig) cancel(f *File) []ObjectRef {
	g.t.Helper()
	kept, err := g.engine.Cancel(context.Background(), f)
	if err != nil {
		g.t.Fatalf("cancel: %v", err)
	}
	return kept
}

// nothingHeld checks that no byte of unpublished files is left on disk.
func (g *writeRig) nothingHeld() {
	g.t.Helper()
	synctest.Wait()
	if ids, err := g.journal.Spool.IDs(); len(ids) != 0 || err != nil || g.journal.Spool.Used() != 0 {
		g.t.Errorf("spool files left: %v, %v, %d bytes", ids, err, g.journal.Spool.Used())
	}
}

// offline lets no request through.
func (g *writeRig) offline() {
	g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Drop: true} })
}

// A file is cancelled in each state, and with each way in which it is sent. Nothing
// of it is left, here or in the bucket, also after a crash.
func TestCancelNewFile(t *testing.T) {
	for _, size := range []int{10, 40 << 20} {
		for state, reach := range map[string]func(g *writeRig, f *File){
			"settling":  func(g *writeRig, f *File) {},
			"uploading": func(g *writeRig, f *File) { after(3 * writeSettle) },
			"offline":   func(g *writeRig, f *File) { g.offline(); after(time.Minute) },
		} {
			for _, crash := range []bool{false, true} {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					slow := s3test.Fault{Delay: 20 * time.Second}
					g.server.Fault(func(r *http.Request) *s3test.Fault {
						if op := s3test.Op(r); op == "PutObject" || op == "UploadPart" {
							return &slow
						}
						return nil
					})
					f := g.put("k", writePattern(1, size))
					reach(g, f)
					err := error(nil)
					if _, err = g.engine.Cancel(context.Background(), f); errors.Is(err, ErrPublished) {
						if size > streamFrom || state != "uploading" { // one request cannot be stopped
							t.Errorf("%d bytes, %s: %v", size, state, err)
						}
						return
					}
					if err != nil {
						t.Fatalf("%d bytes, %s: %v", size, state, err)
					}
					if crash {
						g.crash()
						if len(g.found.Files)+len(g.found.Unfinished) != 0 {
							t.Errorf("found %+v", g.found)
						}
					} else {
						f.Forget()
					}
					g.server.Fault(nil)
					g.wait()
					g.keys()
					g.idle()
					g.nothingHeld()
				})
			}
		}
	}
}

// The crash comes before the transaction: the file is as it was.
func TestCrashBeforeTheCancel(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 24<<20)
		g.put("k", data)
		g.crash()
		g.wait()
		g.has("k", data)
		g.idle()
	})
}

func TestCancelEditGoesBack(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("k", []byte("old version"))
		g.open(f)
		g.write(f, []byte("new"), 0)
		g.closeFile(f)
		if err := f.OpenHandle(false); err != nil {
			t.Fatal(err)
		}
		g.cancel(f)
		g.reads(f, []byte("new version")) // who has it open keeps it
		if err := f.OpenHandle(false); !errors.Is(err, ErrStale) {
			t.Errorf("open after the cancel: %v, want ErrStale", err)
		}
		f.CloseHandle(false)
		after(time.Minute)
		g.has("k", []byte("old version"))
		g.keys("k")
		g.idle()
		g.nothingHeld()
	})
}

// Every version that waits goes, not only the newest.
func TestCancelTwoVersions(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.offline()
		f := g.put("k", []byte("first"))
		after(3 * writeSettle)
		g.open(f)
		g.write(f, []byte("second"), 0)
		g.closeFile(f)
		g.cancel(f)
		g.crash()
		g.wait()
		g.keys()
		g.idle()
	})
}

// An unpublished file was renamed: the old object was to go, and stays.
func TestCancelAfterRename(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("a", []byte("old"))
		g.open(f)
		g.write(f, []byte("new"), 0)
		g.closeFile(f)
		if err := f.Rename("b", nil, nil); err != nil {
			t.Fatal(err)
		}
		kept := g.cancel(f)
		if len(kept) != 1 || kept[0].Key != "a" {
			t.Errorf("kept %+v, want a", kept)
		}
		after(time.Minute)
		g.has("a", []byte("old"))
		g.keys("a")
		g.idle()
	})
}

func TestCancelRefuses(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		open := g.create("open")
		g.write(open, []byte("data"), 0)
		if _, err := g.engine.Cancel(context.Background(), open); !errors.Is(err, ErrBusy) {
			t.Errorf("open for writing: %v, want ErrBusy", err)
		}
		g.closeFile(open)
		g.wait()
		g.has("open", []byte("data"))
		if _, err := g.engine.Cancel(context.Background(), open); !errors.Is(err, ErrPublished) {
			t.Errorf("published: %v, want ErrPublished", err)
		}
	})
}

// The answer to the request that published was lost: there is nothing to give up.
func TestCancelOfAPublishedFileWithALostAnswer(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			switch s3test.Op(r) {
			case "PutObject":
				return &s3test.Fault{LoseAnswer: true}
			case "HeadObject":
				return &s3test.Fault{Drop: true}
			}
			return nil
		})
		f := g.put("k", []byte("data"))
		after(10 * time.Second)
		g.server.Fault(nil)
		if _, err := g.engine.Cancel(context.Background(), f); !errors.Is(err, ErrPublished) {
			t.Errorf("%v, want ErrPublished", err)
		}
		g.wait()
		g.has("k", []byte("data"))
		g.idle()
	})
}

// Whoever waits for a cancelled file hears of it, and the name is free again.
func TestCancelEndsTheWait(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.offline()
		f := g.put("k", []byte("data"))
		waited := make(chan error, 2)
		go func() { waited <- g.engine.Wait(context.Background(), "") }()
		go func() { waited <- f.Sync(context.Background()) }()
		after(10 * time.Second)
		g.cancel(f)
		for range 2 {
			if err := <-waited; !errors.Is(err, ErrCancelled) {
				t.Errorf("wait: %v, want ErrCancelled", err)
			}
		}
		if err := f.Rename("other", nil, nil); !errors.Is(err, ErrStale) {
			t.Errorf("rename: %v, want ErrStale", err)
		}
		if _, err := g.engine.Remove(context.Background(), f); !errors.Is(err, ErrStale) {
			t.Errorf("remove: %v, want ErrStale", err)
		}
		g.server.Fault(nil)
		g.put("k", []byte("again"))
		g.wait()
		g.has("k", []byte("again"))
		g.keys("k")
		g.idle()
	})
}

// The journal cannot be written: the file is as it was.
func TestCancelThatTheJournalRefuses(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.offline()
		f := g.put("k", []byte("data"))
		after(10 * time.Second)
		if err := g.journal.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := g.engine.Cancel(context.Background(), f); err == nil {
			t.Error("cancelled without the journal")
		}
		if f.Key() != "k" || !f.Dirty() {
			t.Errorf("the file is %q, unpublished: %v", f.Key(), f.Dirty())
		}
		if err := f.OpenHandle(false); err != nil {
			t.Errorf("open: %v", err)
		}
		f.CloseHandle(false)
		g.reopenJournal()
	})
}

// reopenJournal lets the rig close a journal that the test has closed.
func (g *writeRig) reopenJournal() {
	g.t.Helper()
	g.engine.Close()
	g.fetcher.Close()
	g.arena.Close()
	g.start()
}

// The abort of a cancelled upload is repeated until the bucket has done it.
func TestCancelledUploadIsAbortedLater(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, writePattern(1, 40<<20), 0)
		after(time.Second)
		if n := len(g.server.Uploads()); n != 1 {
			t.Fatalf("%d uploads, want one", n)
		}
		g.offline()
		g.closeFile(f)
		g.cancel(f)
		after(time.Minute)
		if r, err := g.journal.Records(); len(r) != 1 || err != nil || r[0].Upload == nil {
			t.Errorf("records %+v, %v: want the upload", r, err)
		}
		g.crash()
		after(time.Minute)
		g.keys()
		g.idle()
	})
}

// An unlink ends an upload while the bucket cannot be asked, or refuses: the key stays
// known, since some servers list uploads by whole keys only.
func TestUploadThatCouldNotBeAbortedIsRemembered(t *testing.T) {
	for _, kind := range []s3test.Fault{{Drop: true}, {Status: 403, Code: "AccessDenied"}, {Status: 404, Code: "NoSuchUpload"}} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.create("dir/k")
			g.write(f, writePattern(1, 17<<20), 0)
			after(time.Second)
			g.fault("AbortMultipartUpload", -1, kind)
			g.remove(f)
			f.CloseHandle(true)
			after(time.Minute)
			want, owned := "[]", 0
			switch {
			case kind.Status == 403:
				want = "[dir/k]"
			case kind.Drop:
				owned = 1 // it is tried again
			}
			all, _ := g.engine.Uploads()
			if got := fmt.Sprint(g.engine.LostUploads()); got != want || len(all) != owned {
				t.Errorf("lost uploads %s, want %s; the engine's are %v, want %d", got, want, all, owned)
			}
			g.crash()
			after(time.Minute)
			if got := fmt.Sprint(g.engine.LostUploads()); got != want {
				t.Errorf("lost uploads %s after a crash, want %s", got, want)
			}
			if kind.Drop {
				g.keys()
			}
			g.idle()
		})
	}
}

// An upload was created, and the process died before the journal had its ID: the
// next one knows the key, and does not take the upload for its own.
func TestLostUploadIsRemembered(t *testing.T) {
	for _, size := range []int{24 << 20, 0} { // written to, or cut and closed
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.fault("CreateMultipartUpload", 1, s3test.Fault{LoseAnswer: true, Delay: time.Second})
			var f *File
			if size == 0 {
				f = g.existing("dir/k", writePattern(1, 64<<20))
				g.open(f)
				g.write(f, []byte("x"), 1)
				g.closeFile(f)
				after(writeSettle + time.Second/2)
			} else {
				f = g.create("dir/k")
				g.write(f, writePattern(1, size), 0)
				after(time.Second / 2)
			}
			g.crash()
			if got := fmt.Sprint(g.engine.LostUploads()); got != "[dir/k]" {
				t.Errorf("lost uploads %s", got)
			}
			g.wait()
			g.crash()
			if got := fmt.Sprint(g.engine.LostUploads()); got != "[dir/k]" {
				t.Errorf("lost uploads %s after another crash", got)
			}
			if own, creating := g.engine.Uploads(); len(own)+len(creating) != 0 {
				t.Errorf("own uploads %v, %v", own, creating)
			}
			after(lateLimit)
			if err := g.engine.ForgetLost("dir/k"); err != nil {
				t.Error(err)
			}
			g.crash()
			if got := g.engine.LostUploads(); len(got) != 0 {
				t.Errorf("lost uploads %v", got)
			}
			g.idle()
		})
	}
}

// A close comes while an upload is being created: its record says that too, so that
// the key is known when the ID never comes.
func TestCloseKeepsTheIntentOfAnUpload(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("CreateMultipartUpload", -1, s3test.Fault{NoAnswer: true})
		data := writePattern(1, 24<<20)
		f := g.create("k")
		g.write(f, data, 0)
		after(0) // the request is on its way
		g.closeFile(f)
		g.crash()
		if got := g.engine.LostUploads(); len(got) != 1 || got[0] != "k" {
			t.Errorf("keys at which an upload may be left: %q, want that of the file", got)
		}
		g.wait()
		g.has("k", data)
		g.idle()
	})
}
