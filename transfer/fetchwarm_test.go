package transfer

import (
	"errors"
	"testing"
	"time"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
	"s3mount/internal/s3/s3test"
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

// TestWarmFindsWrongBytes breaks one byte of one answer: nothing of it stays on disk, and the
// second try brings all.
func TestWarmFindsWrongBytes(t *testing.T) {
	diskSim(t, 20<<20+5, func(t *testing.T, g *diskRig) {
		g.server.Seal(g.object.Key, "CRC64NVME")
		g.fault(func(count int, n int64) *s3test.Fault {
			if count == 2 {
				return &s3test.Fault{Corrupt: true}
			}
			return nil
		})
		warm := func() error { return g.fetcher.Warm(t.Context(), g.remote, func(int64) {}) }
		if err := warm(); !errors.Is(err, ErrDamaged) {
			t.Errorf("got %v, want ErrDamaged", err)
		}
		if n := g.tier.Stats().Blocks; n != 0 {
			t.Errorf("%d blocks are kept of an object that did not come right", n)
		}
		time.Sleep(time.Second) // the second try begins after the first was found wrong
		if err := warm(); err != nil {
			t.Error(err)
		}
		g.restart()
		g.readAll(1 << 20)
		if s := g.fetcher.Stats(); s.Fetched != 0 {
			t.Errorf("%d bytes were fetched again", s.Fetched)
		}
	})
}
