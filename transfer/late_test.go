package transfer

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"s3mount/internal/s3/s3test"
)

// lateness says when the bucket carries out what was under way at the crash: before that
// request of the next process, or that long after its start; neither: at once.
type lateness struct {
	request int
	after   time.Duration
}

// TestLateRequests ends the process while each of its requests is under way, and lets the
// bucket carry it out before any of those of the next process, or when that has ended its work.
func TestLateRequests(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(crashScenarios)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs, most := 0, 2 // what decides comes early
			if os.Getenv("LONG") == "1" {
				most = 1000
			}
			reached := func(k int, late lateness) bool {
				runs++
				return crashAt(t, crashScenarios[name], duringRequest, k, late)
			}
			for k := 1; reached(k, lateness{after: 10 * time.Second}); k++ {
				for n := 0; n <= most && reached(k, lateness{request: n}); n++ {
				}
			}
			t.Logf("%d runs", runs)
		})
	}
}

// carryOut counts the requests of the next process, while anything may come.
func (g *crashRig) carryOut(*http.Request) *s3test.Fault {
	if !time.Now().Before(g.engine.sureAt) {
		return nil
	}
	g.mu.Lock()
	g.asked++
	now := g.asked == g.late.request
	g.mu.Unlock()
	if now {
		g.later.CarryOut()
	}
	return nil
}

// lateRig is a process that is killed while one request is under way, and the next one, in
// which applications go on with the same name while the bucket carries it out.
type lateRig struct {
	*writeRig
	later  *s3test.Later
	before string // an operation of the next process, before which it is carried out at last
}

// offline is for lateRig.before: the next process does not reach the bucket.
const offline = "offline"

// killIn lets the first request of an operation arrive and nothing behind it, and kills the
// process; do waits for that request at most.
func killIn(g *writeRig, op string, do func(ctx context.Context), before ...string) lateRig {
	g.t.Helper()
	r := lateRig{g, s3test.NewLater(), strings.Join(before, "")}
	arrived := false
	g.server.Fault(func(req *http.Request) *s3test.Fault {
		switch {
		case arrived:
			return &s3test.Fault{Drop: true}
		case s3test.Op(req) == op:
			arrived = true
			return &s3test.Fault{Late: r.later}
		}
		return nil
	})
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Second)
	defer stop()
	do(ctx)
	<-ctx.Done()
	if !arrived {
		g.t.Fatalf("no %s came", op)
	}
	g.kill(func(string) {})
	g.server.Fault(func(req *http.Request) *s3test.Fault {
		switch r.before {
		case s3test.Op(req):
			r.later.CarryOut()
		case offline:
			return &s3test.Fault{Drop: true}
		}
		return nil
	})
	g.start()
	return r
}

// carryOutAfter waits for the late request, and until all is quiet.
func (r lateRig) carryOutAfter(d time.Duration) {
	time.AfterFunc(d, r.later.CarryOut)
	r.wait()
}

const lateBy = 5 * time.Second

// What is made under a name that was just being unlinked outlives the late deletion.
func TestLateDeletionSparesWhatIsMadeAgain(t *testing.T) {
	for _, copied := range []bool{false, true} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.existing("k", []byte("old bytes"))
			r := killIn(g, "DeleteObject", func(ctx context.Context) {
				if _, err := g.engine.Remove(ctx, f); err == nil {
					t.Error("the unlink succeeded")
				}
			})
			old := *f.Object()
			if copied { // the server makes it
				src := g.existing("source", []byte("new bytes"))
				ctx, stop := context.WithTimeout(context.Background(), time.Minute)
				defer stop()
				time.AfterFunc(lateBy, r.later.CarryOut)
				_, err := g.engine.MoveObject(ctx, src, "k", g.engine.Open(old, writeMeta()), nil)
				check(t, err)
			} else {
				f = g.engine.Open(old, writeMeta())
				g.open(f)
				check(t, f.Truncate(context.Background(), 0))
				g.write(f, []byte("new bytes"), 0)
				g.closeFile(f)
			}
			r.carryOutAfter(lateBy)
			g.has("k", []byte("new bytes"))
			g.keys("k")
			g.idle()
		})
	}
}

// What is written into a copy outlives the late request that made it.
func TestLateCopySparesWhatIsWrittenIntoIt(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := []byte("the bytes of both")
		src := g.existing("k", data)
		r := killIn(g, "CopyObject", func(ctx context.Context) {
			f := g.create("l")
			_, err := f.CopyRange(ctx, src, 0, src.Size())
			check(t, err)
			g.closeFile(f)
		})
		f := g.found.Files[0]
		g.open(f)
		g.write(f, []byte("own"), 0)
		g.closeFile(f)
		r.carryOutAfter(lateBy)
		g.has("l", []byte("own bytes of both"))
		g.keys("k", "l")
		g.idle()
	})
}

// A file that leaves its name before the bucket has it is not left there by the late request.
func TestLatePublicationUnderAFormerName(t *testing.T) {
	for _, op := range []string{"PutObject", "CompleteMultipartUpload"} {
		for _, remove := range []bool{false, true} {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				data := []byte("small")
				if op != "PutObject" {
					data = bytes.Repeat(data, 4<<20)
				}
				r := killIn(g, op, func(context.Context) { g.put("k", data) })
				f := g.found.Files[0]
				if remove {
					_, err := g.engine.Remove(context.Background(), f)
					check(t, err)
				} else {
					g.rename(f, "l")
				}
				after(time.Minute / 10) // all is done by now
				r.carryOutAfter(lateBy)
				if remove {
					g.keys()
				} else {
					g.has("l", data)
					g.keys("l")
				}
				g.idle()
			})
		}
	}
}

// A file whose publication may come late was unlinked, and another process ends before it is too
// late for that: the one after it does not take what has the name by then for that version.
func TestWhatMayComeIsNotDoomed(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		r := killIn(g, "PutObject", func(context.Context) { g.put("k", []byte("small")) })
		_, err := g.engine.Remove(context.Background(), g.found.Files[0])
		check(t, err)
		g.put("k", []byte("other bytes"))
		after(2 * writeSettle)
		g.has("k", []byte("other bytes"))
		g.crash()
		if len(g.found.Doomed) > 0 {
			t.Errorf("%v is to be deleted", g.found.Doomed)
		}
		r.carryOutAfter(lateBy)
		g.has("k", []byte("other bytes"))
		g.keys("k")
		g.idle()
	})
}

// An edit was renamed while it was being sent: its late publication under the former name takes
// the bytes away that it builds on, and has them.
func TestLateEditUnderAFormerName(t *testing.T) {
	for _, before := range []string{"HeadObject", "GetObject", "PutObject"} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.existing("k", []byte("old bytes"))
			r := killIn(g, "PutObject", func(context.Context) {
				g.open(f)
				g.write(f, []byte("new"), 0)
				g.closeFile(f)
				after(writeSettle + time.Second/10)
				g.rename(f, "l")
			}, before)
			r.carryOutAfter(lateBy)
			g.has("l", []byte("new bytes"))
			g.keys("l")
			g.idle()
		})
	}
}

// The same, where a process in between was offline when it renamed the file.
func TestLateEditTwoProcessesLater(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("k", []byte("old bytes"))
		r := killIn(g, "PutObject", func(context.Context) {
			g.open(f)
			g.write(f, []byte("new"), 0)
			g.closeFile(f)
		}, offline)
		f = g.found.Files[0]
		for waits := false; !waits; { // between two tries
			after(time.Second / 100)
			f.mu.Lock()
			waits = f.publishing == nil
			f.mu.Unlock()
		}
		g.rename(f, "l")
		r.later.CarryOut()
		g.crash()
		g.wait()
		g.has("l", []byte("new bytes"))
		g.keys("l")
		g.idle()
	})
}

// A key at which a late request may create an upload is not forgotten when nothing is there.
func TestLateUploadIsListed(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 17<<20)
		r := killIn(g, "CreateMultipartUpload", func(context.Context) { g.put("k", data) })
		g.wait() // a minute passes behind it
		check(t, g.engine.ForgetLost("k"))
		g.crash()
		check(t, g.engine.noteLost("k"))
		check(t, g.engine.ForgetLost("k")) // too early
		r.later.CarryOut()
		if left, listed := g.server.Uploads(), g.engine.LostUploads(); len(left) != 1 || len(listed) != 1 || listed[0] != left[0].Key {
			t.Errorf("uploads %v are left, those at %q are listed", left, listed)
		}
		g.has("k", data)
		g.idle()
	})
}

// A request was carried out, and its repetition is late: what that makes again is known as ours
// also when the first one was found, and makes no conflict copy.
func TestLateRepetitionOfWhatWasFound(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		later, sent := s3test.NewLater(), 0
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if s3test.Op(r) == "PutObject" {
				switch sent++; sent {
				case 1:
					return &s3test.Fault{LoseAnswer: true}
				case 2:
					return &s3test.Fault{Late: later}
				}
			}
			if sent > 0 {
				return &s3test.Fault{Drop: true}
			}
			return nil
		})
		g.put("k", []byte("first"))
		after(3 * time.Second)
		if sent < 2 {
			t.Fatal("the request was not repeated")
		}
		g.kill(func(string) {})
		g.server.Fault(nil)
		g.start()
		after(time.Second)
		g.has("k", []byte("first"))
		g.remove(g.found.Files[0])
		later.CarryOut()
		g.has("k", []byte("first")) // else this tells nothing
		g.put("k", []byte("second"))
		g.wait()
		g.has("k", []byte("second"))
		g.keys("k")
		g.idle()
	})
}
