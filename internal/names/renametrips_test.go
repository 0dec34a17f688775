package names

import (
	"fmt"
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
		if took := g.trips(func() { g.ok(g.rename("top/old", "top/new")) }); took > 70 {
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
