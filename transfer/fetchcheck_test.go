package transfer

import (
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

// TestReadFindsWrongBytes breaks one byte of one answer. Who has read the whole object
// learns of it with the last bytes, and reads it right the second time.
func TestReadFindsWrongBytes(t *testing.T) {
	for name, c := range map[string]struct {
		size   int64
		sealed string // the checksum that the bucket has
		wrong  bool   // an answer is
		heads  int
	}{
		"right":               {8 << 20, "CRC32C", false, 1},
		"wrong":               {8 << 20, "CRC32C", true, 1},
		"wrong, CRC64NVME":    {8 << 20, "CRC64NVME", true, 1},
		"right, CRC64NVME":    {8 << 20, "CRC64NVME", false, 1},
		"of another kind":     {8 << 20, "CRC32", true, 1},
		"small and wrong":     {100 << 10, "CRC32C", true, 0},
		"without a checksum":  {8 << 20, "", true, 1},
		"small, and right":    {100 << 10, "CRC64NVME", false, 0},
		"small, without such": {100 << 10, "", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			fetchSim(t, c.size, 64<<20, func(t *testing.T, g *fetchRig) {
				if c.sealed != "" {
					g.server.Seal(g.object.Key, c.sealed)
				}
				g.fault(func(count int, n int64) *s3test.Fault {
					if c.wrong && count == 1 {
						return &s3test.Fault{Corrupt: true}
					}
					return nil
				})
				opened := time.Now()
				time.Sleep(time.Second)
				g.pass()
				found := c.wrong && (c.sealed == "CRC32C" || c.sealed == "CRC64NVME")
				if got := g.remote.check.damagedSince(opened); got != found {
					t.Errorf("damage was found: %v, want %v", got, found)
				}
				if n := g.server.Count("HeadObject"); n != c.heads {
					t.Errorf("%d HEADs, want %d", n, c.heads)
				}
				synctest.Wait()
				opened = time.Now().Add(time.Second)
				time.Sleep(2 * time.Second)
				if !found {
					return
				}
				r := g.fetcher.NewReader(g.remote)
				defer r.Close()
				before := g.fetcher.Stats().Fetched
				g.sequential(r, 0, g.object.Size, 64<<10) // compares bytes
				if got := g.fetcher.Stats().Fetched - before; got != g.object.Size {
					t.Errorf("%d bytes were fetched again, want all", got)
				}
				if g.remote.check.damagedSince(opened) {
					t.Error("right bytes were found wrong")
				}
			})
		})
	}
}

// pass reads the whole object, whatever its bytes are.
func (g *fetchRig) pass() {
	g.t.Helper()
	r := g.fetcher.NewReader(g.remote)
	defer r.Close()
	for off := int64(0); off < g.object.Size; off += 64 << 10 {
		p, err := r.Read(g.t.Context(), off, 64<<10)
		if err != nil {
			g.t.Fatal(err)
		}
		p.Release()
	}
}
