package names

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"s3mount/internal/attrs"
	"s3mount/transfer"
)

// remount makes the tree anew, as the next mount finds it: with what is on disk.
func (g *treeRig) remount() {
	g.t.Helper()
	g.ok(g.tree.opts.Attrs.Close())
	memory, err := attrs.Open(attrs.Options{Dir: g.memory})
	g.ok(err)
	o := g.tree.opts
	o.Attrs = memory
	g.tree = New(o, transfer.Recovered{})
}

// lsl is `ls -l`: the entries with their attributes.
func (g *treeRig) lsl(dir string) (out []string) {
	g.t.Helper()
	d := g.at(dir)
	s, err := g.tree.OpenDir(g.ctx, d)
	g.ok(err)
	defer s.Close()
	for {
		e, ok, err := s.Next(g.ctx)
		g.ok(err)
		if !ok {
			return out
		}
		n, err := g.tree.Lookup(g.ctx, d, e.Name)
		g.ok(err)
		a, err := n.Attr(g.ctx)
		g.ok(err)
		out = append(out, fmt.Sprintf("%v %o %d %d %s %s", a.Kind, a.Mode, a.UID, a.Size, a.Mtime.UTC().Format(time.RFC3339Nano), e.Name))
	}
}

func meta(mode uint32, mtime string) http.Header {
	return http.Header{"X-Amz-Meta-Mode": {fmt.Sprint(transfer.ModeFile | mode)}, "X-Amz-Meta-Mtime": {mtime}}
}

// What was seen once is not asked for again by the next mount, and never shown of
// another version.
func TestAttributesOverRemounts(t *testing.T) {
	treeSim(t, "p/", func(t *testing.T, g *treeRig) {
		for i := range 300 {
			g.server.PutObject(fmt.Sprintf("p/d/%03d", i), []byte("data"), meta(0o600, fmt.Sprintf("1500000000.%09d", i)))
		}
		time.Sleep(time.Minute)
		first := g.lsl("d")
		g.remount()
		g.server.ClearRequests()
		if second := g.lsl("d"); fmt.Sprint(second) != fmt.Sprint(first) || len(first) != 300 {
			t.Errorf("after the remount %d entries, %v\nbefore %v", len(second), second[0], first[0])
		}
		if n := g.server.Count("HeadObject"); n != 0 {
			t.Errorf("%d HEADs after the remount", n)
		}
		g.server.PutObject("p/d/007", []byte("data"), meta(0o640, "1400000000")) // the same ETag
		time.Sleep(time.Minute)
		g.remount()
		g.server.ClearRequests()
		third := g.lsl("d")
		if want := fmt.Sprintf("%v 640 0 4 2014-05-13T16:53:20Z 007", KindFile); third[7] != want {
			t.Errorf("changed by another client: %q, want %q", third[7], want)
		}
		if n := g.server.Count("HeadObject"); n != 1 {
			t.Errorf("%d HEADs for one changed object", n)
		}
	})
}

// What we wrote ourselves needs no HEAD at all.
func TestOwnAttributesOverRemounts(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		_, err := g.tree.Mkdir(g.ctx, g.tree.Root(), "d", 0o750, 5, 6)
		g.ok(err)
		for i := range 20 {
			g.write(fmt.Sprintf("d/%02d", i), "data")
		}
		mtime, mode := time.Unix(1_400_000_000, 1), uint32(0o604)
		_, err = g.at("d/07").SetAttr(g.ctx, Change{Mtime: &mtime, Mode: &mode})
		g.ok(err)
		g.settle()
		g.ok(g.rename("d/08", "d/80"))
		g.ok(g.rename("d", "e"))
		before := g.lsl("e")
		g.remount()
		g.server.ClearRequests()
		if after := g.lsl("e"); fmt.Sprint(after) != fmt.Sprint(before) || !strings.Contains(fmt.Sprint(after), "604 1 4 2014-05-13T16:53:20.000000001Z 07") {
			t.Errorf("after the remount\n%v\nbefore\n%v", after, before)
		}
		if n := g.server.Count("HeadObject"); n != 0 {
			t.Errorf("%d HEADs after the remount", n)
		}
	})
}
