package names

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"s3mount/internal/s3/s3test"
)

// TestRenameDirFailsInTheMiddle: when one copy is refused, or its answer never comes, all is
// as it was. When the deletions are refused, the directory has its new name, and the old objects
// are not seen.
func TestRenameDirFailsInTheMiddle(t *testing.T) {
	const files = 100 // more than are copied at once
	for name, c := range map[string]struct {
		op    string
		fault s3test.Fault
		moved bool
	}{
		"a copy is refused":            {"CopyObject", s3test.Fault{Status: 403, Code: "AccessDenied"}, false},
		"the answer to a copy is lost": {"CopyObject", s3test.Fault{LoseAnswer: true}, false},
		"deletions are refused":        {"Delete", s3test.Fault{Status: 403, Code: "AccessDenied"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			treeSim(t, "", func(t *testing.T, g *treeRig) {
				for i := range files {
					g.server.PutObject(fmt.Sprintf("old/f%02d", i), []byte("data"), nil)
				}
				time.Sleep(time.Minute)
				f, err := g.at("old/f50").Open(g.ctx, false, false)
				g.ok(err)
				g.write("old/unpublished", "here")
				g.server.Fault(func(r *http.Request) *s3test.Fault {
					op := s3test.Op(r)
					if strings.HasPrefix(op, c.op) && (c.moved || strings.HasSuffix(r.URL.Path, "/new/f70")) {
						return &c.fault
					}
					return nil
				})
				if err := g.rename("old", "new"); (err == nil) != c.moved {
					t.Errorf("rename: %v", err)
				}
				at, gone := "old", "new"
				if c.moved {
					at, gone = gone, at
				}
				g.gone(gone)
				if n := len(strings.Fields(g.ls(at))); n != files+1 {
					t.Errorf("%d names in %q", n, at)
				}
				if got := g.read(f); got != "data" {
					t.Errorf("the open file reads %q", got)
				}
				f.CloseHandle(false)
				g.server.Fault(nil)
				g.settle()
				time.Sleep(time.Minute)
				for _, key := range g.server.Keys() {
					if !strings.HasPrefix(key, at+"/") {
						t.Errorf("%q is left", key)
					}
				}
				g.wantFile(at+"/unpublished", "here")
				if !c.moved {
					g.ok(g.rename("old", "new"))
				}
			})
		})
	}
}

// A directory takes the former name of a file that went into it: nothing is made below that name
// while it has an object, which many a store refuses.
func TestRenameDirToAFormerNameOfItsFile(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("b/", nil, nil)
		g.write("b/two", "bytes")
		g.write("three", "old")
		g.settle()
		g.write("three", "new")
		g.ok(g.rename("three", "b/one"))
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if _, there := g.server.Object("three"); there && strings.Contains(r.URL.Path, "/three/") {
				t.Errorf("%s while the object is there", s3test.Op(r))
			}
			return nil
		})
		g.ok(g.rename("b", "three"))
		g.settle()
		g.wantLs("three", "one two")
		g.keys("three/", "three/one", "three/two")
	})
}
