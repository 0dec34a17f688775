package names

import (
	"fmt"
	"testing"
	"time"
)

// TestMemoryOfListings: of very many entries what they carry is left to the disk, and is
// shown all the same.
func TestMemoryOfListings(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		const files = maxFull + 2*pageSize
		for i := range files {
			g.server.PutObject(fmt.Sprintf("d/%05d", i), []byte("data"), meta(0o600, fmt.Sprint(1_500_000_000+i)))
		}
		time.Sleep(time.Minute)
		first := g.lsl("d")
		g.remount()
		g.server.ClearRequests()
		g.ls("d")
		full := 0
		for _, e := range g.tree.dirs["d"].entries {
			if e.object.HasProps {
				full++
			}
		}
		if full == 0 || full > maxFull {
			t.Errorf("%d entries have what their objects carry, want some, and at most %d", full, maxFull)
		}
		second := g.lsl("d")
		if fmt.Sprint(second) != fmt.Sprint(first) || len(first) != files {
			t.Errorf("after the remount %d entries, %v\nbefore %v", len(second), second[0], first[0])
		}
		if n := g.server.Count("HeadObject"); n != 0 {
			t.Errorf("%d HEADs after the remount", n)
		}
	})
}

// TestKnownNodes: a node that knows the listed version is taken as it is, and only then.
func TestKnownNodes(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("d/f", []byte("data"), meta(0o600, "1500000000"))
		time.Sleep(time.Minute)
		g.lsl("d")
		g.remount()
		before := g.lsl("d")
		n := g.at("d/f")
		knows := func() bool {
			g.tree.mu.Lock()
			defer g.tree.mu.Unlock()
			l := g.tree.dirs["d"]
			return g.tree.knows(n, l.entries["f"], l.heard)
		}
		if !knows() {
			t.Error("a node does not know the version that it was made of")
		}
		g.server.PutObject("d/f", []byte("data"), meta(0o640, "1400000000")) // the same ETag
		time.Sleep(time.Minute)
		_, _, err := g.tree.head(g.ctx, "d/f") // it is remembered, and the node does not hear of it
		g.ok(err)
		time.Sleep(time.Minute)
		g.ls("d")
		if knows() {
			t.Error("a node knows another version than its own")
		}
		if after := g.lsl("d"); fmt.Sprint(after) == fmt.Sprint(before) {
			t.Errorf("changed by another client: %v is shown", after)
		}
	})
}
