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
		e, ok, err := s.Next(g.ctx, true)
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

// With the times of the listing nobody sends a HEAD for a stat alone; what is known is
// shown all the same.
func TestListedTimes(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		written := time.Now().Truncate(time.Second)
		g.server.PutObject("d/file", []byte("data"), meta(0o600, "1500000000"))
		g.server.PutObject("d/known", []byte("data"), meta(0o600, "1500000000"))
		g.server.PutObject("d/link", []byte("file"), http.Header{"X-Amz-Meta-Mode": {fmt.Sprint(transfer.ModeLink | 0o777)}})
		time.Sleep(time.Minute)
		if _, err := g.at("d/known").Attr(g.ctx); err != nil {
			t.Fatal(err)
		}
		g.tree.opts.ListedTimes = true
		g.remount()
		g.server.ClearRequests()
		time.Sleep(2 * treeTTL)
		listed := fmt.Sprintf("644 0 4 %s", written.UTC().Format(time.RFC3339Nano))
		want := fmt.Sprintf("[%v %s file %v 600 0 4 2017-07-14T02:40:00Z known %v %s link]", KindFile, listed, KindFile, KindFile, listed)
		if got := fmt.Sprint(g.lsl("d")); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if n := g.server.Count("HeadObject"); n != 0 {
			t.Errorf("%d HEADs", n)
		}
		link := g.at("d/link")
		if a := link.Known(); a.TTL <= 0 || a.TTL > treeTTL {
			t.Errorf("the kernel may rely on it for %v", a.TTL)
		}
		if _, err := link.Open(g.ctx, true, false); Classify(err) != ClassStale {
			t.Errorf("a link is opened for writing: %v", err)
		}
		if now := g.at("d/link"); now.Kind() != KindLink {
			t.Errorf("a link that was asked for is of kind %v", now.Kind())
		}
	})
}

// A refresh asks again for what no listing can tell: another mode within one second.
func TestRefresh(t *testing.T) {
	treeSim(t, "p/", func(t *testing.T, g *treeRig) {
		g.server.PutObject("p/d/k", []byte("data"), meta(0o600, "1"))
		time.Sleep(time.Minute)
		g.lsl("d")
		at := g.server.Header("p/d/k")
		g.server.Touch("p/d/k", meta(0o640, "1"))
		if now := g.server.Header("p/d/k"); now.Get("ETag") != at.Get("ETag") {
			t.Fatal("another ETag")
		}
		time.Sleep(2 * treeTTL)
		if got := g.lsl("d"); !strings.Contains(got[0], " 600 ") {
			t.Errorf("before: %v", got)
		}
		if known := g.tree.Refresh("d"); fmt.Sprint(known) != "[d d/k]" {
			t.Errorf("the kernel knows %v", known)
		}
		if got := g.lsl("d"); !strings.Contains(got[0], " 640 ") {
			t.Errorf("after: %v", got)
		}
	})
}

// A newer listing tells the kernel what other clients have changed.
func TestNews(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		for _, k := range []string{"d/changed", "d/gone", "d/same"} {
			g.server.PutPattern(k, 5000)
		}
		g.lsl("d")
		g.server.PutPattern("d/changed", 5001)
		g.server.Delete("d/gone")
		time.Sleep(2 * treeTTL)
		g.wantLs("d", "changed same")
		var news []string
		for len(g.tree.News()) > 0 {
			news = append(news, <-g.tree.News())
		}
		if fmt.Sprint(news) != "[d/changed d/gone]" {
			t.Errorf("the kernel hears of %v", news)
		}
	})
}

// TestRsyncAgain looks at directories first, and at their files after that, as rsync does
// where it copies to: what was seen before needs no HEAD, however long it takes.
func TestRsyncAgain(t *testing.T) {
	const dirs, files = 30, 40
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		for d := range dirs {
			g.server.PutObject(fmt.Sprintf("top/d%03d/", d), nil, meta(0o755, "1500000000"))
			for f := range files {
				g.server.PutObject(fmt.Sprintf("top/d%03d/f%03d", d, f), []byte("small"), meta(0o600, "1500000000"))
			}
		}
		look := func() {
			for d := range dirs {
				g.stat(fmt.Sprintf("top/d%03d", d))
			}
			for d := range dirs {
				g.stat(fmt.Sprintf("top/d%03d", d))
				for f := range files {
					g.stat(fmt.Sprintf("top/d%03d/f%03d", d, f))
					time.Sleep(treeTTL / dirs / files * 2)
				}
			}
		}
		time.Sleep(time.Minute)
		look()
		g.remount()
		g.server.ClearRequests()
		look()
		if heads, lists := g.server.Count("HeadObject"), g.server.Count("ListObjectsV2"); heads > 0 || lists > 3*dirs {
			t.Errorf("%d HEADs and %d LISTs for %d directories", heads, lists, dirs)
		}
	})
}

// TestLookupsReadOn: who looks up the files of a large directory one after the other gets
// page after page, and asks for none of them by itself.
func TestLookupsReadOn(t *testing.T) {
	const files = 3*pageSize + 7
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		for i := range files {
			g.server.PutObject(fmt.Sprintf("d/%05d", i), []byte("small"), meta(0o600, "1500000000"))
		}
		time.Sleep(time.Minute)
		g.lsl("d")
		g.remount()
		g.server.ClearRequests()
		for i := range files {
			g.stat(fmt.Sprintf("d/%05d", i))
		}
		if heads, lists := g.server.Count("HeadObject"), g.server.Count("ListObjectsV2"); heads > 0 || lists > 5 {
			t.Errorf("%d HEADs and %d LISTs for %d files", heads, lists, files)
		}
	})
}
