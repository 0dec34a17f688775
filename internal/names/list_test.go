package names

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"s3mount/transfer"
)

// TestNodesWithoutRequests: who reads a directory gets the nodes of what the listing
// describes, and nothing is asked for those of which it does not tell what they are.
func TestNodesWithoutRequests(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutPattern("d/large", 1<<20)
		g.server.PutPattern("d/small", 10)
		g.server.PutObject("d/link", []byte("large"), http.Header{"X-Amz-Meta-Mode": {fmt.Sprint(transfer.ModeLink | 0o777)}})
		g.server.PutPattern("d/sub/file", 10)
		time.Sleep(time.Minute)
		nodes := func() string {
			s, err := g.tree.OpenDir(g.ctx, g.at("d"))
			g.ok(err)
			defer s.Close()
			var out []string
			for {
				e, ok, err := s.Next(g.ctx, true)
				g.ok(err)
				if !ok {
					return strings.Join(out, " ")
				}
				if n := s.Node(e.Name); n != nil && n == g.at("d/"+e.Name) {
					out = append(out, e.Name)
				}
			}
		}
		if got := nodes(); got != "large sub" || g.server.Count("HeadObject")+g.server.Count("GetObject") > 2 { // of the marker
			t.Errorf("never seen: nodes of %q, %s", got, g.counts())
		}
		g.at("d/small")
		if link := g.at("d/link"); link.Kind() != KindLink {
			t.Errorf("the link is of kind %v", link.Kind())
		}
		if got := nodes(); got != "large link small sub" {
			t.Errorf("looked up: nodes of %q", got)
		}
		g.remount()
		g.server.ClearRequests()
		if got := nodes(); got != "large small sub" || g.server.Count("HeadObject")+g.server.Count("GetObject") > 0 {
			t.Errorf("seen before: nodes of %q, %s", got, g.counts())
		}
	})
}

// TestDirectoryOfWhatIsBeingDeleted: objects that wait to be deleted make no directory,
// not even in a listing that still has them, unless something else is there.
func TestDirectoryOfWhatIsBeingDeleted(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		for _, key := range []string{"dying/one", "dying/sub/two", "living/one", "living/two", "marked/", "marked/one", "other/one"} {
			g.server.PutPattern(key, 10)
		}
		g.tree.mu.Lock()
		g.tree.doom([]transfer.ObjectRef{{Key: "dying/one"}, {Key: "dying/sub/two"}, {Key: "living/one"}, {Key: "marked/one"}})
		g.tree.mu.Unlock()
		g.wantLs("", "living/ marked/ other/")
		g.gone("dying")
		g.wantLs("living", "two")
		g.wantLs("marked", "")
	})
}

// A version that may still come to a name, and has to go then, does not hide the file that
// has the name by now: not when that is known to be another one, nor once it was looked at.
func TestWhatMayComeHidesNoOther(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.write("own", "bytes")
		g.settle()
		g.server.PutObject("foreign", []byte("bytes"), nil)
		g.remount()
		list := []transfer.ObjectRef{{Key: "foreign", Publication: "lost"}, {Key: "own", Publication: "lost"}}
		g.tree.mu.Lock()
		g.tree.doom(list)
		g.tree.mu.Unlock()
		g.wantLs("", "own") // nothing is known of the foreign one
		g.tree.deleted(nil, list)
		time.Sleep(time.Minute)
		g.wantLs("", "foreign own")
	})
}
