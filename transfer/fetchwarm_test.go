package transfer

import (
	"testing"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
)

// TestWarmKeepsWhatWasThere warms a file that was read before, and then reads four times what
// the cache on disk holds: no byte of the warmed file is fetched again.
func TestWarmKeepsWhatWasThere(t *testing.T) {
	const size, export = 20 << 20, 1 << 30
	diskSim(t, size, func(t *testing.T, g *diskRig) {
		g.readAll(1 << 20)
		g.settle()
		if d := g.tier.Stats().Dropped; d != 0 {
			t.Fatalf("%d blocks were left out", d)
		}
		done := int64(0)
		if err := g.fetcher.Warm(t.Context(), g.remote, func(n int64) { done += n }); err != nil || done != size {
			t.Fatalf("warmed %d of %d bytes: %v", done, size, err)
		}
		p := make([]byte, mem.BlockSize)
		for i := range int64(export / mem.BlockSize) {
			g.tier.Add(disk.ID{1}, i, p)
		}
		before := g.fetcher.Stats().Fetched
		g.readAll(1 << 20)
		if n := g.fetcher.Stats().Fetched - before; n != 0 {
			t.Errorf("%d bytes of what was warmed were fetched again", n)
		}
	})
}
