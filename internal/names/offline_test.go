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
	"s3mount/transfer"
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

// Directories are made without the bucket as files are: a copy of a tree goes on. They are what
// they were told to be, can be removed again, and are in the bucket once that is back; the next
// mount has those that were not.
func TestDirectoriesWithoutTheBucket(t *testing.T) {
	treeSim(t, "p/", func(t *testing.T, g *treeRig) {
		g.server.PutObject("p/there", []byte("bytes"), nil)
		g.ls("")
		g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Drop: true} })
		mkdir := func(p string) *Node {
			t.Helper()
			dir, name := g.parent(p)
			n, err := g.tree.Mkdir(g.ctx, dir, name, 0o750, 7, 8)
			if err != nil {
				t.Fatalf("mkdir %s: %v", p, err)
			}
			return n
		}
		card := mkdir("card")
		clips := mkdir("card/clips")
		mkdir("card/empty")
		if _, err := g.tree.Mkdir(g.ctx, card, "clips", 0o750, 0, 0); !errors.Is(err, ErrExist) {
			t.Errorf("mkdir again: %v, want ErrExist", err)
		}
		_, f, err := g.tree.Create(g.ctx, clips, "a.mov", 0o644, 0, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		f.CloseHandle(true)
		if err := g.tree.Rmdir(g.ctx, g.at("card"), "clips"); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("rmdir of one with a file: %v, want ErrNotEmpty", err)
		}
		mkdir("card/wrong")
		if err := g.tree.Rmdir(g.ctx, g.at("card"), "wrong"); err != nil {
			t.Errorf("rmdir: %v", err)
		}
		then, mode := time.Unix(1_000_000_000, 5), uint32(0o711)
		_, err = card.SetAttr(g.ctx, Change{Mtime: &then, Mode: &mode})
		g.ok(err)
		for range 3 {
			time.Sleep(5 * time.Minute) // a long copy looks at directories rarely
			g.wantLs("", "card/ there")
			g.wantLs("card", "clips/ empty/")
			g.wantLs("card/clips", "a.mov")
		}
		found := transfer.Recovered{Files: []*transfer.File{f}}
		for _, p := range []string{"card", "card/clips", "card/empty"} {
			found.Files = append(found.Files, g.at(p).file)
		}
		g.tree = New(g.tree.opts, found) // what the next process finds in the journal
		g.server.Fault(nil)
		g.wantLs("card", "clips/ empty/")
		time.Sleep(5 * time.Minute)
		g.keys("p/card/", "p/card/clips/", "p/card/clips/a.mov", "p/card/empty/", "p/there")
		for _, when := range []string{"made", "seen by the next mount"} {
			a, err := g.at("card").Attr(g.ctx)
			if err != nil || a.Kind != KindDir || a.Mode != mode || a.UID != 7 || a.GID != 8 || !a.Mtime.Equal(then) {
				t.Errorf("%s: %+v, %v", when, a, err)
			}
			g.remount()
		}
		g.ok(g.rename("card", "moved"))
		g.ok(g.tree.Rmdir(g.ctx, g.at("moved"), "empty"))
		g.keys("p/moved/", "p/moved/clips/", "p/moved/clips/a.mov", "p/there")
	})
}

// A directory that was made without the bucket is there for the next mount, also while that cannot
// reach the bucket either: files are made in it. One that the bucket
// may have is not taken for empty.
func TestDirectoryOfAnEarlierMountWithoutTheBucket(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.PutObject("there/object", []byte("bytes"), nil)
		g.ls("")
		g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Drop: true} })
		var found transfer.Recovered
		for _, p := range []string{"card", "card/clips", "card/empty"} {
			dir, name := g.parent(p)
			n, err := g.tree.Mkdir(g.ctx, dir, name, 0o755, 0, 0)
			g.ok(err)
			found.Files = append(found.Files, n.file)
		}
		g.write("card/clips/a.mov", "first")
		found.Files = append(found.Files, g.at("card/clips/a.mov").file)
		g.tree = New(g.tree.opts, found) // what the next process finds in the journal
		for _, name := range []string{"b.mov", "c.mov"} {
			g.write("card/clips/"+name, "second")
			time.Sleep(2 * treeTTL)
		}
		g.wantLs("card/clips", "a.mov b.mov c.mov")
		if _, _, err := g.tree.Create(g.ctx, g.at("card/clips"), "a.mov", 0o644, 0, 0, true); !errors.Is(err, ErrExist) {
			t.Errorf("exclusive create over a file of the earlier mount: %v, want ErrExist", err)
		}
		if err := g.tree.Rmdir(g.ctx, g.at("card"), "clips"); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("rmdir of one with files: %v, want ErrNotEmpty", err)
		}
		g.wantLs("card/empty", "")
		if _, err := g.tree.Lookup(g.ctx, g.tree.Root(), "there"); !errors.Is(err, s3.ErrUnavailable) {
			t.Errorf("a directory that the bucket may have: %v, want ErrUnavailable", err)
		}
		g.server.Fault(nil)
		time.Sleep(5 * time.Minute)
		g.keys("card/", "card/clips/", "card/clips/a.mov", "card/clips/b.mov", "card/clips/c.mov", "card/empty/", "there/object")
		g.wantLs("", "card/ there/")
	})
}

// What is done to a directory while its marker waits in the journal takes the marker along.
func TestDirectoryBeforeItsMarker(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.ls("")
		for _, name := range []string{"old", "gone"} {
			g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Drop: true} })
			_, err := g.tree.Mkdir(g.ctx, g.tree.Root(), name, 0o755, 0, 0)
			g.ok(err)
		}
		_, err := g.tree.Mkdir(g.ctx, g.at("old"), "below", 0o755, 0, 0)
		g.ok(err)
		g.server.Fault(nil)
		g.ok(g.tree.Rmdir(g.ctx, g.at(""), "gone"))
		g.ok(g.rename("old", "new"))
		g.wantLs("", "new/")
		g.wantLs("new", "below/")
		g.settle()
		g.keys("new/", "new/below/")
		g.remount()
		g.wantLs("", "new/")
	})
}

// A marker that was made though no answer came is the directory's own: it goes with the
// directory, under whichever name, and is no version of another client.
func TestDirectoryWhoseMarkerWasNotHeardOf(t *testing.T) {
	for _, what := range []string{"kept", "removed", "renamed"} {
		t.Run(what, func(t *testing.T) {
			treeSim(t, "", func(t *testing.T, g *treeRig) {
				g.ls("")
				g.server.Fault(func(r *http.Request) *s3test.Fault {
					if r.Method == http.MethodPut {
						return &s3test.Fault{LoseAnswer: true}
					}
					return nil
				})
				_, err := g.tree.Mkdir(g.ctx, g.tree.Root(), "d", 0o755, 0, 0)
				g.ok(err)
				g.server.Fault(nil)
				g.keys("d/")
				switch what {
				case "removed":
					g.ok(g.tree.Rmdir(g.ctx, g.tree.Root(), "d"))
					g.settle()
					g.keys()
					g.wantLs("", "")
				case "renamed":
					g.ok(g.rename("d", "e"))
					g.settle()
					g.keys("e/")
					g.wantLs("", "e/")
				default:
					g.settle()
					g.keys("d/")
					g.wantLs("", "d/")
				}
			})
		})
	}
}
