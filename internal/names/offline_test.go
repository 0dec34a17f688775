package names

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// Without the bucket no published object is renamed or unlinked, and no file is made
// under a name that the bucket may have; what is not published yet goes on. A directory that
// was listed wholly stays as it was last seen, with our own changes, however long it takes.
func TestNamesWithoutTheBucket(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("d/published", make([]byte, maxLink), nil) // no link: it needs no HEAD
		g.server.PutObject("unseen/published", []byte("bytes"), nil)
		g.at("d/published")
		dir, unseen := g.at("d"), g.at("unseen")
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
		for i := range 20 { // 100 s: longer than a listing is kept that nobody believes
			time.Sleep(treeTTL)
			g.at("d") // as the kernel does
			name := fmt.Sprintf("later-%02d", i)
			_, f, err := g.tree.Create(g.ctx, dir, name, 0o644, 0, 0, true)
			if err != nil {
				t.Fatalf("create after %v without the bucket: %v", time.Duration(i+1)*treeTTL, err)
			}
			f.CloseHandle(true)
			if _, _, err := g.tree.Create(g.ctx, dir, "published", 0o644, 0, 0, true); !errors.Is(err, ErrExist) {
				t.Errorf("exclusive create over an object: %v, want ErrExist", err)
			}
		}
		if got := len(strings.Fields(g.ls("d"))); got != 21 {
			t.Errorf("the directory shows %q", g.ls("d"))
		}
		if _, _, err := g.tree.Create(g.ctx, unseen, "unknown", 0o644, 0, 0, true); !errors.Is(err, s3.ErrUnavailable) {
			t.Errorf("exclusive create without a listing: %v, want ErrUnavailable", err)
		}
		g.server.Fault(nil)
		g.server.PutObject("d/theirs", []byte("bytes"), nil)
		time.Sleep(2 * treeTTL)
		if got := strings.Fields(g.ls("d")); len(got) != 22 || !slices.Contains(got, "theirs") {
			t.Errorf("once the bucket is back the directory shows %q", got)
		}
	})
}
