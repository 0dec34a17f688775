package names

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// remember notes of keys what a HEAD would have said, as earlier mounts do.
func (g *treeRig) remember(keys []string) {
	for _, key := range keys {
		g.tree.opts.Attrs.Fetched(s3.Object{Key: key, ETag: `"e"`, LastModified: time.Now(), Date: time.Now().Add(time.Hour), HasProps: true})
	}
	g.remount()
}

// TestPagesSideBySide holds what a directory costs that an earlier mount has seen.
func TestPagesSideBySide(t *testing.T) {
	const files = 10_000
	treeSim(t, "", func(t *testing.T, g *treeRig) {
		g.server.SetLink(s3test.Link{RTT: firstTrip})
		keys := make([]string, files)
		for f := range keys {
			keys[f] = fmt.Sprintf("top/f%05d", f)
			g.server.PutObject(keys[f], []byte("small"), nil)
		}
		g.remember(keys)
		g.connect()
		n := 0
		g.at("top")
		took := g.trips(func() { n = len(strings.Fields(g.ls("top"))) })
		if lists := g.server.Count("ListObjectsV2"); n != files || took > 4 || lists > files/pageSize+1 {
			t.Errorf("%d names in %.1f round trips, %s", n, took, g.counts())
		}
	})
}

// TestMarksNeverMatter: whatever happened since a directory was seen, and in whatever order
// the server lists it, all of its names are shown, each once, and in their order where
// the server has one.
func TestMarksNeverMatter(t *testing.T) {
	for seed := range uint64(12) {
		treeSim(t, "", func(t *testing.T, g *treeRig) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			names := map[string]bool{}
			var seen []string
			for range 500 + rnd.IntN(6000) {
				name := fmt.Sprintf("%x", rnd.IntN(20_000))
				switch key := "d/" + name; {
				case rnd.IntN(10) == 0:
					key, name = key+"/below", name+"/"
					fallthrough
				default:
					if !names[name] && !names[strings.TrimSuffix(name, "/")] && !names[name+"/"] {
						names[name] = true
						seen = append(seen, key)
					}
				}
			}
			g.remember(seen)
			for _, key := range seen {
				name := strings.TrimSuffix(strings.TrimPrefix(key, "d/"), "below")
				if gone := rnd.IntN(10) < int(seed%4)*3; gone && len(key)%2 == 0 {
					delete(names, name)
					continue
				}
				g.server.PutObject(key, []byte("small"), nil)
			}
			from := fmt.Sprintf("%x", rnd.IntN(20_000))
			for i := range rnd.IntN(3000) { // many at one place
				name := fmt.Sprintf("%s-%04d", from, i)
				names[name] = true
				g.server.PutObject("d/"+name, []byte("small"), nil)
			}
			g.server.ListUnordered(seed%3 == 2)
			s, err := g.tree.OpenDir(g.ctx, g.at("d"))
			g.ok(err)
			var got []string
			for {
				e, ok, err := s.Next(g.ctx, true)
				g.ok(err)
				if !ok {
					break
				}
				if e.Kind == KindDir {
					e.Name += "/"
				}
				got = append(got, e.Name)
			}
			if seed%3 != 2 && !slices.IsSorted(got) {
				t.Errorf("seed %d: not in the order of the keys", seed)
			}
			if want := slices.Sorted(maps.Keys(names)); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				t.Errorf("seed %d: %d names, want %d", seed, len(got), len(want))
			}
		})
	}
}
