package names

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"s3mount/transfer"
)

// writeOver writes the beginning of a file and closes it.
func (g *treeRig) writeOver(p, text string) {
	g.t.Helper()
	dir, name := g.parent(p)
	_, f, err := g.tree.Create(g.ctx, dir, name, 0o644, 0, 0, false)
	if err != nil {
		g.t.Fatalf("%s: %v", p, err)
	}
	if _, err := f.WriteAt(g.ctx, []byte(text), 0); err != nil {
		g.t.Fatal(err)
	}
	if err := f.Flush(g.ctx); err != nil {
		g.t.Fatal(err)
	}
	f.CloseHandle(true)
}

func (g *treeRig) cancel(p, changed string) {
	g.t.Helper()
	got, err := g.tree.Cancel(g.ctx, p)
	if err != nil || fmt.Sprint(got) != changed {
		g.t.Errorf("cancel of %q: %q, %v, want %s", p, got, err, changed)
	}
}

func (g *treeRig) wantSize(p string, size int64) {
	g.t.Helper()
	if a, err := g.at(p).Attr(g.ctx); err != nil || a.Size != size {
		g.t.Errorf("%s: %d bytes, %v, want %d", p, a.Size, err, size)
	}
}

func TestCancel(t *testing.T) {
	treeSim(t, "pre/", func(t *testing.T, g *treeRig) {
		g.server.PutObject("pre/d/old", []byte("old"), nil)
		g.server.PutObject("pre/d/edited", []byte("12345"), nil)
		g.server.PutObject("pre/d/target", []byte("1234567"), nil)
		g.wantLs("d", "edited old target")

		g.writeOver("d/new", "new")
		g.cancel("d/new", "[d/new]")
		g.gone("d/new")
		g.wantLs("d", "edited old target")

		g.writeOver("d/edited", "longer than before")
		g.wantSize("d/edited", 18)
		before := g.at("d/edited")
		g.cancel("d/edited", "[d/edited]")
		g.wantSize("d/edited", 5)
		if g.at("d/edited") == before {
			t.Error("the name leads to the cancelled file")
		}

		// An edit that was moved over another file: both are back.
		g.writeOver("d/old", "changed")
		dir := g.at("d")
		if err := g.tree.Rename(g.ctx, dir, "old", dir, "target", false); err != nil {
			t.Fatal(err)
		}
		g.wantLs("d", "edited target")
		g.cancel("d/target", "[d/target d/old]")
		g.wantLs("d", "edited old target")
		g.wantSize("d/old", 3)
		g.wantSize("d/target", 7)

		// The name is free for another file.
		g.writeOver("d/new", "again")
		time.Sleep(time.Minute)
		if got, ok := g.server.Object("pre/d/new"); !ok || string(got) != "again" {
			t.Errorf("the new file: %q, %v", got, ok)
		}
		for p, want := range map[string]error{"d": ErrIsDir, "d/new": transfer.ErrPublished, "d/absent": ErrNotExist, "d/new/x": ErrNotDir, "": ErrIsDir} {
			if _, err := g.tree.Cancel(g.ctx, p); !errors.Is(err, want) {
				t.Errorf("cancel of %q: %v, want %v", p, err, want)
			}
		}
		if got := fmt.Sprint(g.server.Keys()); got != "[pre/d/edited pre/d/new pre/d/old pre/d/target]" {
			t.Errorf("the bucket holds %s", got)
		}
	})
}
