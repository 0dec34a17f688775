package names

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// Without the bucket no published object is renamed or unlinked, and no file is made
// under a name that the bucket may have; what is not published yet goes on.
func TestNamesWithoutTheBucket(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("d/published", []byte("bytes"), nil)
		g.at("d/published")
		dir := g.at("d")
		_, f, err := g.tree.Create(g.ctx, dir, "own", 0o644, 0, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		f.CloseHandle(true)
		g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Drop: true} })
		if err := g.tree.Rename(g.ctx, dir, "own", dir, "moved", false); err != nil {
			t.Errorf("rename of what is not published: %v", err)
		}
		if err := g.tree.Unlink(g.ctx, dir, "moved"); err != nil {
			t.Errorf("unlink of what is not published: %v", err)
		}
		if err := g.tree.Rename(g.ctx, dir, "published", dir, "other", false); !errors.Is(err, s3.ErrUnavailable) {
			t.Errorf("rename: %v, want ErrUnavailable", err)
		}
		if err := g.tree.Unlink(g.ctx, dir, "published"); !errors.Is(err, s3.ErrUnavailable) {
			t.Errorf("unlink: %v, want ErrUnavailable", err)
		}
		time.Sleep(2 * treeTTL) // the listing is not believed any more
		if _, _, err := g.tree.Create(g.ctx, dir, "unknown", 0o644, 0, 0, true); !errors.Is(err, s3.ErrUnavailable) {
			t.Errorf("exclusive create without a listing: %v, want ErrUnavailable", err)
		}
		g.server.Fault(nil)
		if got := g.ls("d"); got != "published" {
			t.Errorf("the directory shows %q", got)
		}
	})
}
