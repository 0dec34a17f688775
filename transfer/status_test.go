package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

func TestStatusCountsWhatTheBucketHas(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		one := func() FileStatus {
			t.Helper()
			synctest.Wait()
			list := g.engine.Status("dir")
			if len(list) != 1 || list[0].Key != "dir/k" || len(g.engine.Status("di")) != 0 {
				t.Fatalf("status %+v", list)
			}
			return list[0]
		}
		want := func(got FileStatus, state State, total, done int64, parts, partsDone int) {
			t.Helper()
			if got.State != state || got.Total != total || got.Done != done || got.Parts != parts || got.PartsDone != partsDone {
				t.Errorf("status %+v, want %s %d/%d bytes, %d/%d parts", got, state, done, total, partsDone, parts)
			}
		}
		const size = 6 * writePart
		f := g.create("dir/k")
		g.write(f, writePattern(1, size), 0)
		after(time.Second)
		s := one()
		want(s, StateWriting, size, 4*writePart, 6, 4) // head and tail wait for the close
		if !s.Open || s.Size != size || s.Left() != 2*writePart {
			t.Errorf("status %+v", s)
		}
		g.write(f, []byte("again"), 2*writePart) // that part has to be sent again
		want(one(), StateWriting, size, 3*writePart, 6, 3)
		g.fault("UploadPart", -1, s3test.Fault{Delay: 5 * time.Second})
		g.closeFile(f)
		s = one()
		want(s, StateSettling, size, 3*writePart, 6, 3)
		if wait := time.Until(s.NextTry); s.Open || wait <= 0 || wait > writeSettle {
			t.Errorf("status %+v, next try in %v", s, wait)
		}
		after(writeSettle + time.Second)
		want(one(), StateUploading, size, 3*writePart, 6, 3)
		g.fault("CompleteMultipartUpload", -1, s3test.Fault{Delay: 5 * time.Second})
		after(6 * time.Second)
		want(one(), StateCompleting, size, size, 6, 6)
		after(10 * time.Second)
		if list := g.engine.Status(""); len(list) != 0 {
			t.Errorf("published: %+v", list)
		}
	})
}

// Only what was changed counts, and a small file is one request.
func TestStatusOfEdits(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("UploadPart", -1, s3test.Fault{Delay: time.Minute})
		f := g.existing("big", writePattern(1, 64<<20))
		g.open(f)
		g.write(f, []byte("x"), 30<<20)
		g.closeFile(f)
		g.put("small", []byte("12345"))
		s := g.engine.Status("")
		if len(s) != 2 || s[0].Total != 1 || s[0].Size != 64<<20 || s[1].Total != 5 || s[1].Parts != 0 {
			t.Errorf("before the upload: %+v", s)
		}
		after(10 * time.Second)
		s = g.engine.Status("big")
		if len(s) != 1 || s[0].Total < 5<<20 || s[0].Total > 11<<20 || s[0].Done != 0 || s[0].PartsDone == 0 || s[0].PartsDone >= s[0].Parts {
			t.Errorf("while it is sent: %+v", s)
		}
	})
}

func TestStatusOfFailures(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		state := func(want State, kind error) {
			t.Helper()
			var now []FileStatus
			for range 300 { // between two tries
				after(time.Second / 10)
				now = g.engine.Status("")
				if !slices.ContainsFunc(now, func(s FileStatus) bool {
					return s.State != want || !errors.Is(s.Err, kind) || time.Until(s.NextTry) < 5*time.Second
				}) {
					return
				}
			}
			t.Errorf("status %+v; want %s, %v, and a next try in five seconds or more", now, want, kind)
		}
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if op := s3test.Op(r); op == "PutObject" || op == "UploadPart" {
				return &s3test.Fault{Drop: true}
			}
			return nil
		})
		large := writePattern(1, 24<<20)
		g.put("large", large)
		g.put("small", []byte("data"))
		after(time.Minute)
		state(StateRetrying, s3.ErrUnavailable)
		if n := g.engine.Retry("nothing"); n != 0 {
			t.Errorf("retried %d files elsewhere", n)
		}
		g.fault("", 0, s3test.Fault{})
		if n := g.engine.Retry(""); n != 2 {
			t.Errorf("retried %d files, want 2", n)
		}
		after(time.Second) // long before their own next try
		g.has("large", large)
		g.has("small", []byte("data"))

		denied := s3test.Fault{Status: 403, Code: "AccessDenied"}
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if op := s3test.Op(r); op == "PutObject" || op == "UploadPart" || op == "CreateMultipartUpload" {
				return &denied
			}
			return nil
		})
		g.put("large2", large)
		g.put("small2", []byte("data"))
		after(time.Minute)
		state(StateFailed, s3.ErrDenied)
		if err := g.engine.Wait(context.Background(), ""); !errors.Is(err, s3.ErrDenied) {
			t.Errorf("wait: %v, want ErrDenied", err)
		}
		g.server.Fault(nil)
		g.engine.Retry("")
		after(time.Second)
		g.has("large2", large)
		g.has("small2", []byte("data"))
	})
}

// A wait outlives what a retry may mend.
func TestWaitGoesOnWhileOffline(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.offline()
		g.put("k", []byte("data"))
		waited := make(chan error, 1)
		go func() { waited <- g.engine.Wait(context.Background(), "k") }()
		after(time.Hour)
		select {
		case err := <-waited:
			t.Fatalf("the wait ended: %v", err)
		default:
		}
		g.server.Fault(nil)
		if err := <-waited; err != nil {
			t.Error(err)
		}
		g.has("k", []byte("data"))
	})
}

// The same for uploads of edits and of copies on the server, while they are created.
func TestEngineOwnsWhatItCreates(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		creating := func(want string) {
			t.Helper()
			if _, keys := g.engine.Uploads(); fmt.Sprint(keys) != want {
				t.Errorf("creating at %v, want %s", keys, want)
			}
		}
		g.fault("CreateMultipartUpload", -1, s3test.Fault{Delay: 5 * time.Second, Status: 403, Code: "AccessDenied"})
		f := g.existing("edit", writePattern(1, 64<<20))
		g.open(f)
		g.write(f, []byte("x"), 30<<20)
		g.closeFile(f)
		after(writeSettle + time.Second)
		creating("[edit]")
		done := make(chan error, 1)
		go func() {
			_, err := g.engine.CopyObject(context.Background(), s3.Object{Key: "edit", Size: plan.MaxPart + 1}, "copy", s3.Cond{})
			done <- err
		}()
		synctest.Wait()
		creating("[copy edit]")
		if err := <-done; !errors.Is(err, s3.ErrDenied) {
			t.Errorf("copy: %v, want ErrDenied", err)
		}
		g.server.Fault(nil)
		after(time.Minute) // the refused try ends, the next one succeeds
		g.wait()
		creating("[]")
	})
}

// The engine knows its uploads, so that nobody takes them for orphans.
func TestEngineOwnsItsUploads(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("CreateMultipartUpload", 1, s3test.Fault{Delay: time.Second})
		f := g.create("k")
		g.write(f, writePattern(1, 24<<20), 0)
		synctest.Wait()
		if all, creating := g.engine.Uploads(); len(all) != 0 || len(creating) != 1 || creating[0] != "k" {
			t.Errorf("while it is created: %v, %v", all, creating)
		}
		after(10 * time.Second)
		all, creating := g.engine.Uploads()
		if len(all) != 1 || all[0].Key != "k" || all[0].ID == "" || len(creating) != 0 {
			t.Errorf("created: %v, %v", all, creating)
		}
		g.closeFile(f)
		if _, _, err := journal.Read(g.dir); !errors.Is(err, journal.ErrLocked) {
			t.Errorf("a journal in use: %v, want ErrLocked", err)
		}
	})
}

// TestUploadIsNotedOnce: the intent, then the upload.
func TestUploadIsNotedOnce(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("k", writePattern(1, 30<<20))
		g.open(f)
		g.write(f, []byte("x"), 0)
		g.closeFile(f)
		var records []string
		g.transactions(func(apply func() error) error {
			err := apply()
			list, _ := g.journal.Records()
			for _, r := range list {
				records = append(records, fmt.Sprintf("creating %q, upload %t", r.Creating, r.Upload != nil))
			}
			return err
		})
		g.wait()
		want := []string{`creating "k", upload false`, `creating "", upload true`}
		if !slices.Equal(records, want) {
			t.Errorf("the journal went through %q, want %q", records, want)
		}
	})
}
