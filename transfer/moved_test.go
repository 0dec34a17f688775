package transfer

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/transfer/journal"
)

// A file comes back to a former name in the moment in which its publication under
// the next one is noted: nothing is left there.
func TestRenameBackWhileThePublicationIsNoted(t *testing.T) {
	for _, tried := range []bool{false, true} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.existing("a", []byte("old bytes"))
			g.open(f)
			g.write(f, []byte("new"), 0)
			g.closeFile(f)
			if tried { // its object may be under the former name in two versions
				f.mu.Lock()
				f.head().tried, f.head().at = true, "a"
				f.mu.Unlock()
			}
			g.rename(f, "b")
			g.engine.opts.Published = func(f *File, o s3.Object, gone []journal.Object) {
				g.engine.opts.Published = nil
				if o.Key != "b" || len(gone) == 0 {
					t.Errorf("published %q, gone %v", o.Key, gone)
				}
				g.rename(f, "a")
			}
			g.wait()
			g.has("a", []byte("new bytes"))
			g.keys("a")
			g.idle()
		})
	}
}

// What could not be deleted at once under a former name is deleted before a file that
// was made there is published: that may have the same bytes.
func TestLateDeletionSparesTheNextFile(t *testing.T) {
	for _, crash := range []bool{false, true} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.existing("a", []byte("bytes"))
			old := *f.Object()
			check(t, f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }))
			g.rename(f, "b")
			next, err := g.engine.Create("a", &old, writeMeta())
			check(t, err)
			g.open(next)
			g.write(next, []byte("bytes"), 0)
			g.closeFile(next)
			g.server.Fault(func(r *http.Request) *s3test.Fault { // "a" cannot be reached but to be written
				if op := s3test.Op(r); r.URL.Path == "/bucket/a" && (op == "DeleteObject" || op == "HeadObject") || crash && op == "PutObject" {
					return &s3test.Fault{Drop: true}
				}
				return nil
			})
			after(10 * time.Second)
			g.has("b", []byte("bytes"))
			if crash {
				g.crash()
			}
			g.server.Fault(nil)
			g.wait()
			g.has("a", []byte("bytes"))
			g.keys("a", "b")
			g.idle()
		})
	}
}

// hook calls do within the first request of an operation, before it is carried out.
func (g *writeRig) hook(op, key string, do func()) {
	var once sync.Once
	g.server.Fault(func(r *http.Request) *s3test.Fault {
		if s3test.Op(r) == op && r.URL.Path == "/"+s3test.Name+"/"+key {
			once.Do(do)
		}
		return nil
	})
}

// A file that is renamed between the two halves of its publication leaves nothing
// under the name that the second half was for.
func TestRenameBetweenCompleteAndCopy(t *testing.T) {
	for _, op := range []string{"CompleteMultipartUpload", "CopyObject"} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			data := writePattern(1, 24<<20)
			f := g.create("a")
			g.write(f, data, 0)
			time.Sleep(time.Minute) // the upload has begun
			g.rename(f, "b")
			key := "a"
			if op == "CopyObject" {
				key = "b"
			}
			g.hook(op, key, func() { g.rename(f, "c") })
			g.closeFile(f)
			g.wait()
			g.has("c", data)
			g.keys("c")
			g.idle()
		})
	}
}

// What is found under the old name of a file that is renamed meanwhile says nothing
// about the new one: the object that it replaces there is no conflict.
func TestRenameOverWhileAConflictIsSettled(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		victim := g.existing("b", []byte("victim"))
		f := g.existing("a", []byte("old bytes"))
		g.open(f)
		g.write(f, []byte("new"), 0)
		g.server.PutObject("a", []byte("of another client"), nil)
		rename := func() {
			o, moved := victim.Detach()
			check(t, f.Rename("b", o, moved, victim))
			victim.Drop()
		}
		check(t, f.Truncate(context.Background(), 3)) // nothing of the old version is needed
		var once sync.Once
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if s3test.Op(r) == "CopyObject" && strings.Contains(r.URL.Path, "conflict") {
				once.Do(rename)
			}
			return nil
		})
		g.closeFile(f)
		g.wait()
		g.has("b", []byte("new"))
		g.has("a", []byte("of another client"))
		for _, key := range g.server.Keys() {
			if strings.HasPrefix(key, "b (conflict") {
				t.Errorf("the file that was replaced is kept as %q", key)
			}
		}
	})
}

// A file of two closed versions takes the name of one that is not published either:
// after a crash one of the two has it, and the other one's versions are whole or gone.
func TestCrashOfARenameOverAnUnpublishedFile(t *testing.T) {
	scenario := func(g *crashRig) {
		victim := g.file("l", []byte("victim"))
		f := g.file("k", []byte("first"))
		g.open(f)
		g.patch(f, []byte("F"), 0)
		g.close(f, "k", []byte("First"))
		g.step(func() error {
			o, moved := victim.Detach()
			if err := f.Rename("l", o, moved, victim); err != nil {
				return err
			}
			victim.Drop()
			return nil
		}, func(w bucketState) { w.move("k", "l") })
		g.settle()
	}
	for stage := beforeTransaction; stage <= afterRequest; stage++ {
		for k := 1; crashAt(t, scenario, stage, k, lateness{}); k++ {
		}
	}
}
