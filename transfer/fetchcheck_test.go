package transfer

import (
	"net/http"
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
		"wrong, CRC32":        {8 << 20, "CRC32", true, 1},
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
				g.pass(0, g.object.Size)
				found := c.wrong && c.sealed != ""
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

// TestReadFindsWrongParts breaks one byte of one answer with an object that another client has
// uploaded in parts, of which the bucket has no checksum but those of the parts. Who reads
// a part is told, and it is fetched again. Parts that meet within a block count as one.
func TestReadFindsWrongParts(t *testing.T) {
	const size = 40<<20 + 77
	for name, c := range map[string]struct {
		algorithm string
		part      int64 // bytes
		off, n    int64 // what is read
		wrong     bool  // an answer is
		denied    bool  // to list the parts
		again     int64 // bytes that are fetched again, 0: nothing was found
	}{
		"right":                  {"CRC32", 8 << 20, 0, size, false, false, 0},
		"wrong":                  {"CRC32", 8 << 20, 0, size, true, false, 8 << 20},
		"wrong, CRC32C":          {"CRC32C", 8 << 20, 0, size, true, false, 8 << 20},
		"one part alone":         {"CRC32", 8 << 20, 8 << 20, 8 << 20, true, false, 8 << 20},
		"a range of a part":      {"CRC32", 8 << 20, 9 << 20, 1 << 20, true, false, 0},
		"odd lengths, right":     {"CRC32", 5_000_000, 0, size, false, false, 0},
		"odd lengths, wrong":     {"CRC32", 5_000_000, 0, size, true, false, size},
		"that may not be listed": {"CRC32", 8 << 20, 0, size, true, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			diskSim(t, size, func(t *testing.T, g *diskRig) {
				g.object.ETag = g.server.SealParts(g.object.Key, c.algorithm, c.part)
				g.remote = NewRemote(ContentIDOf(g.object), g.object)
				g.server.Fault(func(r *http.Request) *s3test.Fault {
					switch off, _ := fetchTestRange(r.Header); {
					case s3test.Op(r) == "GetObject" && off >= c.off && c.wrong:
						c.wrong = false
						return &s3test.Fault{Corrupt: true}
					case s3test.Op(r) == "GetObjectAttributes" && c.denied:
						return &s3test.Fault{Status: http.StatusForbidden, Code: "AccessDenied"}
					}
					return nil
				})
				opened := time.Now()
				time.Sleep(time.Second)
				g.pass(c.off, c.n)
				g.settle()
				if got := g.remote.check.damagedSince(opened); got != (c.again > 0) {
					t.Errorf("damage was found: %v", got)
				}
				asked := g.server.Count("HeadObject") + g.server.Count("GetObjectAttributes")
				if c.n >= c.part && (asked < 2 || asked > 4) || c.n < c.part && asked > 0 {
					t.Errorf("%d requests for checksums", asked)
				}
				time.Sleep(time.Second)
				if opened = time.Now(); c.again == 0 {
					return
				}
				r := g.fetcher.NewReader(g.remote)
				defer r.Close()
				g.sequential(r, c.off, c.n, 64<<10) // compares bytes
				if got := g.fetcher.Stats().Fetched - size; c.n == size && got != c.again {
					t.Errorf("%d bytes were fetched again, want %d", got, c.again)
				}
				if g.remote.check.damagedSince(opened) {
					t.Error("right bytes were found wrong")
				}
			})
		})
	}
}

// pass reads a range, whatever its bytes are, in steps that the disk can follow.
func (g *fetchRig) pass(off, n int64) {
	g.t.Helper()
	r := g.fetcher.NewReader(g.remote)
	defer r.Close()
	for end := off + n; off < end; off += 256 << 10 {
		p, err := r.Read(g.t.Context(), off, 256<<10)
		if err != nil {
			g.t.Fatal(err)
		}
		p.Release()
		time.Sleep(10 * time.Millisecond)
	}
}
