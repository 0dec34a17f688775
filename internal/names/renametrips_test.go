package names

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"s3mount/internal/s3/s3test"
)

// TestRenameOfManyInRoundTrips holds what directories with many objects cost: a second is
// 33 round trips.
func TestRenameOfManyInRoundTrips(t *testing.T) {
	const files = 1000
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.SetLink(s3test.Link{RTT: firstTrip})
		for i := range files {
			g.server.PutPattern(fmt.Sprintf("top/old/f%04d", i), 100<<10)
		}
		time.Sleep(time.Minute)
		g.connect()
		root := g.at("top")
		if took := g.trips(func() { g.ok(g.rename("top/old", "top/new")) }); took > 40 {
			t.Errorf("a rename takes %.0f round trips; %s", took, g.counts())
		}
		// "top/" would have been empty meanwhile.
		if keys := g.server.Keys(); len(keys) != files+1 || keys[1] != "top/new/f0000" {
			t.Errorf("%d keys, the first %q", len(keys), keys[0])
		}
		if took := g.trips(func() { _, err := g.tree.Mkdir(g.ctx, root, "dir", 0o755, 0, 0); g.ok(err) }); took > 3 {
			t.Errorf("mkdir takes %.0f round trips; %s", took, g.counts())
		}
		if took := g.trips(func() { g.ok(g.tree.Rmdir(g.ctx, root, "dir")) }); took > 3 {
			t.Errorf("rmdir takes %.0f round trips; %s", took, g.counts())
		}
	})
}

// TestRenameKeepsWhatOthersChanged: an object that another client changes before it is
// deleted under its former name stays there, whether the store can delete many at once or
// not.
func TestRenameKeepsWhatOthersChanged(t *testing.T) {
	const files = 600
	for name, fault := range map[string]*s3test.Fault{"at once": nil, "one by one": {Status: 501, Code: "NotImplemented"}} {
		t.Run(name, func(t *testing.T) {
			treeSim(t, "", func(t *testing.T, g *treeRig) {
				for i := range files {
					g.server.PutObject(fmt.Sprintf("old/f%03d", i), []byte("data"), nil)
				}
				time.Sleep(time.Minute)
				var once sync.Once
				g.server.Fault(func(r *http.Request) *s3test.Fault {
					switch op := s3test.Op(r); {
					case op == "ListObjectsV2" && g.server.Count("CopyObject") == files:
						once.Do(func() { g.server.PutObject("old/f300", []byte("theirs"), nil) })
					case op == "DeleteObjects":
						return fault
					}
					return nil
				})
				g.ok(g.rename("old", "new"))
				if keys := g.server.Keys(); len(keys) != files+1 || keys[files] != "old/f300" {
					t.Errorf("%d keys, the last %q; want all under the new name, and theirs under the old one", len(keys), keys[len(keys)-1])
				}
				if heads := g.server.Count("HeadObject"); fault == nil && heads > 10 {
					t.Errorf("%d HEADs", heads)
				}
			})
		})
	}
}
