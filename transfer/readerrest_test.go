package transfer

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"s3mount/internal/s3"
)

// TestReadersAtRestTakeLittleMemory opens many large files and reads a little of each, as who
// looks through a library does. The kernel remembers all of them.
func TestReadersAtRestTakeLittleMemory(t *testing.T) {
	const files, size = 500, 10 << 30
	fetchSim(t, size, 64<<20, func(t *testing.T, g *fetchRig) {
		readers := make([]*Reader, files)
		for i := range readers {
			o := s3.Object{Key: fmt.Sprintf("clip-%d.bin", i), Size: size}
			o.ETag = g.server.PutPattern(o.Key, o.Size)
			readers[i] = g.fetcher.NewReader(NewRemote(ContentIDOf(o), o))
			defer readers[i].Close()
		}
		before := heapInUse()
		for _, r := range readers {
			g.check(r, size/2, 4096)
		}
		g.server.ClearRequests()
		for _, c := range []struct {
			after time.Duration
			most  int64 // bytes for each
		}{{2 * fetchIdle, 16 << 10}, {checkIdle, 2 << 10}} {
			time.Sleep(c.after)
			if n := (heapInUse() - before) / files; n > c.most {
				t.Errorf("%d bytes for each file %v after it was read, want %d at most", n, c.after, c.most)
			}
		}
		g.sequential(readers[0], 0, 8<<20, 128<<10) // and reads on as always
		if s := g.fetcher.streams.Load(); s != 1 {
			t.Errorf("%d windows are open, want 1", s)
		}
	})
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what the first one has found to be finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
