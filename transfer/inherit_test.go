package transfer

import (
	"bytes"
	"context"
	"testing"

	"s3mount/cache"
	"s3mount/internal/mem"
	"s3mount/transfer/plan"
)

// TestEditKeepsWhatIsCached reads an object, changes it, and reads it again, also in the next
// mount: what was read comes from the cache, under the version that was made of it.
func TestEditKeepsWhatIsCached(t *testing.T) {
	const size = 24<<20 + 77
	change := func(f *File, g *writeRig, data []byte, off int64, p string) []byte {
		g.write(f, []byte(p), off)
		if end := off + int64(len(p)); end > int64(len(data)) {
			data = append(data, make([]byte, end-int64(len(data)))...)
		}
		copy(data[off:], p)
		return data
	}
	for name, edit := range map[string]func(g *writeRig, f *File, data []byte) []byte{
		"one byte": func(g *writeRig, f *File, data []byte) []byte { return change(f, g, data, 10<<20+3, "x") },
		"the ends": func(g *writeRig, f *File, data []byte) []byte {
			return change(f, g, change(f, g, data, 0, "head"), size-2, "ta")
		},
		"longer": func(g *writeRig, f *File, data []byte) []byte { return change(f, g, data, size, "longer") },
		"shorter": func(g *writeRig, f *File, data []byte) []byte {
			if err := f.Truncate(context.Background(), 20<<20+5); err != nil {
				t.Fatal(err)
			}
			return data[:20<<20+5]
		},
		"another name": func(g *writeRig, f *File, data []byte) []byte {
			data = change(f, g, data, 10<<20+3, "x")
			g.rename(f, "l")
			return data
		},
	} {
		t.Run(name, func(t *testing.T) {
			cachedSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				data := writePattern(1, size)
				f := g.existing("k", data)
				for off := 0; off < size; off += 1 << 20 { // the disk keeps up
					c, err := f.Read(context.Background(), int64(off), 1<<20)
					if err != nil {
						t.Fatal(err)
					}
					c.Release()
					g.settle()
				}
				read := g.fetcher.Stats().Fetched
				g.open(f)
				data = edit(g, f, bytes.Clone(data))
				g.closeFile(f)
				g.wait()
				g.has(f.Key(), data)
				g.reads(f, data)
				cut := int64(0) // the last block is a shorter one
				if name == "shorter" {
					cut = 5
				}
				if n := g.fetcher.Stats().Fetched - read; n != cut {
					t.Errorf("%d bytes were fetched for the edit and after it", n)
				}
				key := f.Key()
				g.stop()
				g.start()
				g.reads(g.known(key), data)
				if n := g.fetcher.Stats().Fetched; n != 0 {
					t.Errorf("%d bytes were fetched in the next mount", n)
				}
			})
		})
	}
}

// TestEditOfACopyLeavesTheSource its cache: only what an edit replaces is taken over.
func TestEditOfACopyLeavesTheSource(t *testing.T) {
	cachedSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 12<<20)
		f := g.existing("k", data)
		g.reads(f, data)
		g.settle()
		c := g.duplicate(f, "l")
		g.wait()
		g.open(c)
		g.write(c, []byte("x"), 1<<20)
		g.closeFile(c)
		g.wait()
		before := g.fetcher.Stats().Fetched
		g.reads(f, data)
		if n := g.fetcher.Stats().Fetched - before; n > 0 {
			t.Errorf("%d bytes of the source were fetched again", n)
		}
	})
}

// TestInherited: only blocks that are whole in both, and those at the same end.
func TestInherited(t *testing.T) {
	const b = mem.BlockSize
	extents := func(list ...plan.Extent) *plan.Extents {
		var e plan.Extents
		for _, x := range list {
			e.Set(x.Off, x.Len, x.Kind)
		}
		return &e
	}
	for name, c := range map[string]struct {
		ext  *plan.Extents
		base int64
		want []cache.Run
	}{
		"all":            {extents(plan.Extent{Len: 3*b + 5, Kind: plan.Base}), 3*b + 5, []cache.Run{{N: 4}}},
		"cut":            {extents(plan.Extent{Len: 3*b + 5, Kind: plan.Base}), 4 * b, []cache.Run{{N: 3}}},
		"cut at a block": {extents(plan.Extent{Len: 3 * b, Kind: plan.Base}), 4 * b, []cache.Run{{N: 3}}},
		"longer":         {extents(plan.Extent{Len: b + 5, Kind: plan.Base}, plan.Extent{Off: b + 5, Len: 9, Kind: plan.Data}), b + 5, []cache.Run{{N: 1}}},
		"in the middle": {extents(plan.Extent{Len: b + 5, Kind: plan.Base}, plan.Extent{Off: b + 5, Len: b, Kind: plan.Data},
			plan.Extent{Off: 2*b + 5, Len: 2 * b, Kind: plan.Base}), 4*b + 5, []cache.Run{{N: 1}, {First: 3, N: 2}}},
		"less than a block": {extents(plan.Extent{Len: 5, Kind: plan.Data}, plan.Extent{Off: 5, Len: b, Kind: plan.Base}, plan.Extent{Off: b + 5, Len: b, Kind: plan.Hole}), b + 5, nil},
	} {
		got := inherited(c.ext, c.base)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
	}
}
