package names

import (
	"testing"

	"s3mount/transfer"
)

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
