package transfer

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/transfer/journal"
)

// A version that waits is published before a newer one that has overflowed, which no
// record can stand for: the record of the older one must not outlive both.
func TestOlderVersionGoesBeforeAnOverflowedOne(t *testing.T) {
	for _, first := range []string{"", "first"} {
		writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
			g.fault("PutObject", -1, s3test.Fault{Status: 403, Code: "AccessDenied"})
			f := g.put("big", []byte(first))
			after(time.Minute)
			g.open(f)
			check(t, f.Clear(context.Background()))
			data := writePattern(12, 100<<20)
			g.overflow(f, data)
			synctest.Wait() // no try of the older one is on its way
			g.server.Fault(nil)
			g.closeFile(f)
			g.has("big", data)
			g.crash()
			if n := len(g.found.Files) + len(g.found.Damaged); n != 0 {
				t.Errorf("the next process found %d versions of what is in the bucket", n)
			}
			g.wait()
			g.has("big", data)
			g.keys("big")
			g.idle()
		})
	}
}

// The upload was completed, nobody heard of it, and the file was renamed meanwhile: it is
// found under the name that it had, also when the bytes are nowhere else any more.
func TestUnheardUploadOfARenamedFile(t *testing.T) {
	for _, size := range []int{5, 17 << 20, 100 << 20} {
		writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
			data := writePattern(13, size)
			f := g.create("old")
			g.overflow(f, data)
			made, asked, away := 0, 0, make(chan struct{})
			g.server.Fault(func(r *http.Request) *s3test.Fault {
				switch op := s3test.Op(r); op {
				case "PutObject", "CompleteMultipartUpload":
					if made++; made == 1 {
						return &s3test.Fault{LoseAnswer: true}
					}
				case "HeadObject":
					if asked++; made > 0 && asked == 1 {
						close(away)
						return &s3test.Fault{Status: 403, Code: "AccessDenied"}
					}
				}
				return nil
			})
			closed := make(chan error, 1)
			go func() {
				err := f.Flush(context.Background())
				f.CloseHandle(true)
				closed <- err
			}()
			<-away
			after(time.Millisecond)
			check(t, f.Rename("new", nil, nil))
			<-closed // what was larger than the spool hears of the error, as it must
			g.wait()
			g.has("new", data)
			g.keys("new")
			g.idle()
			if n := g.server.Count("CreateMultipartUpload"); n > 1 {
				t.Errorf("%d uploads were made", n)
			}
			if n := g.server.Count("PutObject"); n > 2 { // the second one met the first
				t.Errorf("the bytes were sent %d times", n)
			}
		})
	}
}

// The bucket has lost a part, or has another one under its number: only a new upload helps.
func TestUploadWithALostPartBeginsAnew(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("CompleteMultipartUpload", 1, s3test.Fault{Status: 400, Code: "InvalidPart"})
		data := writePattern(14, 20<<20)
		g.put("k", data)
		g.wait()
		g.has("k", data)
		g.keys("k")
		g.idle()
	})
}

// Who may write and not delete leaves the object of a renamed file under its old name. What
// is made there later takes its place, and is not taken for it, whatever its bytes are.
func TestDeniedDeletionHoldsNobodyUp(t *testing.T) {
	for _, bytes := range []string{"data", "more"} {
		for _, crash := range []bool{false, true} {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.existing("k", []byte("data"))
				o := f.Object()
				g.fault("DeleteObject", -1, s3test.Fault{Status: 403, Code: "AccessDenied"})
				later, err := g.engine.MoveObject(context.Background(), f, "l", nil, nil)
				if err != nil || len(later) != 1 {
					t.Fatalf("rename: %v, left %v", err, later)
				}
				after(time.Minute)
				n, err := g.engine.Create("k", &s3.Object{Key: "k", ETag: o.ETag}, writeMeta())
				check(t, err)
				g.open(n)
				g.write(n, []byte(bytes), 0)
				g.closeFile(n)
				ctx, stop := context.WithTimeout(context.Background(), time.Hour)
				defer stop()
				check(t, g.engine.Wait(ctx, "k"))
				if crash {
					g.crash()
				}
				g.server.Fault(nil)
				after(time.Minute)
				g.has("l", []byte("data"))
				g.has("k", []byte(bytes))
				g.keys("k", "l")
				g.idle()
			})
		}
	}
}

// The version below is published while the next one uploads: that one replaces it, also
// under another name, and no part of it is sent twice.
func TestUploadFollowsTheVersionBelow(t *testing.T) {
	for _, crash := range []bool{false, true} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.existing("k", []byte("begin"))
			g.open(f)
			g.write(f, []byte("BEGIN"), 0)
			g.closeFile(f)
			g.open(f)
			check(t, f.Clear(context.Background()))
			data := writePattern(15, 24<<20)
			g.write(f, data, 0)
			after(2 * writeSettle)
			g.has("k", []byte("BEGIN"))
			g.closeFile(f)
			check(t, f.Rename("l", nil, nil))
			if crash {
				g.crash()
			}
			g.wait()
			g.has("l", data)
			g.keys("l")
			g.idle()
			if n := g.server.Count("CreateMultipartUpload"); n != 1 {
				t.Errorf("%d uploads were made, want 1", n)
			}
		})
	}
}

// A file that is larger than the spool uploads under the name that it began with. Another
// client has taken that name meanwhile: both are kept.
func TestOverflowedFileWhoseFormerNameIsTaken(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		data := writePattern(17, 100<<20)
		f := g.create("old")
		g.overflow(f, data)
		check(t, f.Rename("new", nil, nil))
		g.server.PutObject("old", []byte("theirs"), nil)
		g.closeFile(f)
		g.has("new", data)
		g.wait()
		keys := g.server.Keys()
		if len(keys) != 2 || keys[0] != "new" || !strings.HasPrefix(keys[1], "old (conflict") {
			t.Fatalf("the bucket holds %q", keys)
		}
		g.has(keys[1], []byte("theirs"))
		g.idle()
	})
}

// The server copies a large object part by part, and the process ends: what is left of that
// is listed.
func TestCrashInTheMiddleOfALargeCopy(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		etag := g.server.PutPattern("k", 11<<30)
		f := g.engine.Open(s3.Object{Key: "k", ETag: etag, Size: 11 << 30}, writeMeta())
		g.fault("UploadPartCopy", -1, s3test.Fault{NoAnswer: true})
		ctx, stop := context.WithCancel(context.Background())
		moved := make(chan error, 1)
		go func() {
			_, err := g.engine.MoveObject(ctx, f, "l", nil, nil)
			moved <- err
		}()
		after(time.Second)
		r, err := g.journal.Records()
		if err != nil || !slices.ContainsFunc(r, func(r journal.Record) bool { return r.Creating == "l" }) {
			t.Errorf("the journal does not know the upload: %+v, %v", r, err)
		}
		g.server.Fault(nil)
		stop()
		<-moved
		g.wait()
		g.idle()
		r, err = g.journal.Records()
		if up := g.server.Uploads(); len(r)+len(up) != 0 || err != nil {
			t.Errorf("records %+v, uploads %v, %v", r, up, err)
		}
	})
}
