package transfer

import (
	"testing"

	"s3mount/internal/s3"
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
