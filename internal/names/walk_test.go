package names

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// find is `find -ls`: each directory is asked for, then read with the attributes of its
// entries, then those below it. It returns how many names it saw.
func (g *treeRig) find(dir *Node, name string, visit func(n *Node, a Attr)) int {
	g.t.Helper()
	s, err := g.tree.OpenDir(g.ctx, dir)
	g.ok(err)
	var names []string
	for {
		e, ok, err := s.Next(g.ctx, true)
		g.ok(err)
		if !ok {
			break
		}
		s.Node(e.Name) // READDIRPLUS
		names = append(names, e.Name)
	}
	s.Close()
	seen := len(names)
	for _, name := range names {
		n, err := g.tree.Lookup(g.ctx, dir, name)
		g.ok(err)
		a, err := n.Attr(g.ctx)
		g.ok(err)
		if visit != nil {
			visit(n, a)
		}
		if n.Kind() == KindDir {
			seen += g.find(n, name, visit)
		}
	}
	return seen
}

// trips runs f and returns how many round trips it took, one after the other.
func (g *treeRig) trips(f func()) float64 {
	g.server.ClearRequests()
	began := time.Now()
	f()
	return float64(time.Since(began)) / float64(firstTrip)
}

func (g *treeRig) counts() string {
	return fmt.Sprintf("%d LISTs, %d HEADs", g.server.Count("ListObjectsV2"), g.server.Count("HeadObject"))
}

// connect opens connections, so that only requests are counted.
func (g *treeRig) connect() {
	done := make(chan struct{})
	for range headParallel {
		go func() {
			g.tree.bucket.Head(g.ctx, "nothing")
			done <- struct{}{}
		}()
	}
	for range headParallel {
		<-done
	}
}

// TestWalkInRoundTrips holds what a walk over a tree costs, against a listing of the
// bucket without a delimiter.
func TestWalkInRoundTrips(t *testing.T) {
	const files = 100
	for name, c := range map[string]struct {
		dirs         int
		listed, seen bool
		trips        float64
	}{
		"times of the listing": {dirs: 100, listed: true, trips: 1.5 * 100 * files / pageSize},
		"seen before":          {dirs: 100, seen: true, trips: 1.5 * 100 * files / pageSize},
		"never seen":           {dirs: 25, trips: 1.3 * (25*files/pageSize + 25*files/64)},
	} {
		t.Run(name, func(t *testing.T) {
			treeSim(t, "p/", func(t *testing.T, g *treeRig) {
				g.server.SetLink(s3test.Link{RTT: firstTrip})
				for i := range c.dirs * files {
					key, carried := fmt.Sprintf("p/top/d%03d/f%03d", i/files, i%files), meta(0o600, "1500000000.5")
					etag := g.server.PutObject(key, []byte("small"), carried)
					if c.seen {
						now := time.Now()
						g.tree.opts.Attrs.Wrote(s3.Object{Key: key, ETag: etag, Size: 5, Date: now, HasProps: true,
							Props: s3.Properties{Meta: map[string]string{"mode": carried.Get("X-Amz-Meta-Mode")}}})
					}
				}
				g.tree.opts.ListedTimes = c.listed
				g.remount()
				time.Sleep(time.Minute)
				g.connect()
				n := 0
				took := g.trips(func() { n = g.find(g.at("top"), "", nil) })
				t.Logf("%.1f round trips, %s", took, g.counts())
				if n != c.dirs*files+c.dirs {
					t.Errorf("%d names", n)
				}
				if took > c.trips {
					t.Errorf("%.1f round trips, want %.1f; %s", took, c.trips, g.counts())
				}
				if n := g.server.Count("HeadObject"); n > 0 && (c.listed || c.seen) {
					t.Errorf("%d HEADs", n)
				}
			})
		})
	}
}

// TestLargeDirectoryInRoundTrips does so for one directory.
func TestLargeDirectoryInRoundTrips(t *testing.T) {
	const files = 10_000
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.SetLink(s3test.Link{RTT: firstTrip})
		for f := range files {
			g.server.PutObject(fmt.Sprintf("top/f%05d", f), []byte("small"), nil)
		}
		time.Sleep(time.Minute)
		g.tree.opts.ListedTimes = true
		g.connect()
		n := 0
		took := g.trips(func() { n = g.find(g.at("top"), "", nil) })
		if want := 1.3 * files / pageSize; n != files || took > want {
			t.Errorf("%d names in %.1f round trips, want %.1f; %s", n, took, want, g.counts())
		}
	})
}

// A walk shows what listings of single directories show, whatever the keys are, and in
// whatever order they come.
func TestWalkShowsTheSame(t *testing.T) {
	keys := []string{
		"a/", "a/1", "a/x/1", "a-b/1", "a.c", "a//b", "b/..", "b/x", "b/x/y", "c/", "c/c/c/c", "d/1", "e/%", "e/x%file", "e/x/", "f", "f/f",
		"g/" + strings.Repeat("l", 300), "h/h/1", "h/h-/1", "h/h/h/1", "i/1", "j/j",
	}
	for d := range 12 { // pages end anywhere
		for f := range 100 {
			keys = append(keys, fmt.Sprintf("k%02d/%03d", d, f))
		}
	}
	shown := func(flat, ordered bool) (all string) {
		treeSim(t, "", func(t *testing.T, g *treeRig) {
			g.server.ListUnordered(!ordered)
			for _, k := range keys {
				g.server.PutPattern(k, 5000)
			}
			time.Sleep(time.Minute)
			g.server.ClearRequests()
			var out []string
			visit := func(n *Node, a Attr) {
				out = append(out, fmt.Sprintf("%s %v %d", n.Path(), a.Kind, a.Size))
				if !flat {
					g.tree.mu.Lock()
					for _, l := range g.tree.dirs {
						l.steps, l.last = 0, -1
					}
					g.tree.mu.Unlock()
				}
			}
			g.find(g.tree.Root(), "", visit)
			all = strings.Join(out, "\n")
			if n := g.server.Count("ListObjectsV2"); flat && ordered && n > 30 {
				t.Errorf("%d LISTs: the walk was not recognised", n)
			}
		})
		return all
	}
	one, each := shown(true, true), shown(false, true)
	if one != each {
		t.Errorf("in a walk:\n%s\none by one:\n%s", one, each)
	}
	lines := func(s string) []string { return slices.Sorted(strings.SplitSeq(s, "\n")) }
	if mixed := shown(true, false); !slices.Equal(lines(mixed), lines(each)) {
		t.Errorf("of a server that lists without order:\n%s\none by one:\n%s", mixed, each)
	}
}

// A walk over directories with much below them, that goes not into it, is not slower
// than without.
func TestWalkThatStaysAbove(t *testing.T) {
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.SetLink(s3test.Link{RTT: firstTrip})
		for d := range 10 {
			for f := range 3000 {
				g.server.PutPattern(fmt.Sprintf("d%d/deep/%04d", d, f), 5000)
			}
			g.server.PutPattern(fmt.Sprintf("d%d/z", d), 5000)
		}
		time.Sleep(time.Minute)
		g.tree.opts.ListedTimes = true
		g.connect()
		took := g.trips(func() {
			for d := range 10 {
				if got := g.ls(fmt.Sprint("d", d)); got != "deep/ z" {
					t.Errorf("d%d lists %q", d, got)
				}
			}
		})
		if lists := g.server.Count("ListObjectsV2"); took > 40 || lists > 45 {
			t.Errorf("%.1f round trips, %s", took, g.counts())
		}
	})
}

// TestLookupsWalk: who looks at the files of one directory and the next without reading
// them, as rsync does where it copies to, is answered by a walk too.
func TestLookupsWalk(t *testing.T) {
	const dirs, files = 30, 100
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		for i := range dirs * files {
			g.server.PutObject(fmt.Sprintf("top/d%03d/f%03d", i/files, i%files), []byte("small"), meta(0o600, "1500000000"))
		}
		time.Sleep(time.Minute)
		look := func() {
			for i := range dirs * files {
				if i%files == 0 {
					g.stat(fmt.Sprintf("top/d%03d", i/files))
				}
				g.stat(fmt.Sprintf("top/d%03d/f%03d", i/files, i%files))
			}
		}
		look()
		g.remount()
		g.server.ClearRequests()
		look()
		if lists := g.server.Count("ListObjectsV2"); lists > dirs/2 || g.server.Count("HeadObject") > 1 {
			t.Errorf("%s for %d directories of %d files", g.counts(), dirs, files)
		}
	})
}
