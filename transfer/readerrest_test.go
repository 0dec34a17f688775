package transfer

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
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

// TestReadGetsTheMemoryOfWhatWasRead has all memory in windows that were read, and in requests
// that are not answered. The memory tier takes the windows over: who waits gets it from there.
func TestReadGetsTheMemoryOfWhatWasRead(t *testing.T) {
	const silent = 600 << 20 // from here on nobody answers
	fetchSim(t, 1<<30, 16<<20, func(t *testing.T, g *fetchRig) {
		g.fetcher.Close()
		g.budget = mem.New(16 << 20)
		g.fetcher = NewFetcher(FetchOptions{
			Bucket: s3test.Bucket(t, g.server), Budget: g.budget, Arena: g.arena, Memory: 8 << 20,
		})
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if off, _ := fetchTestRange(r.Header); off >= silent {
				return &s3test.Fault{NoAnswer: true}
			}
			return nil
		})
		r := g.fetcher.NewReader(g.remote)
		defer r.Close()
		for i := range int64(8) {
			g.check(r, (i*i+1)*(8<<20), 1<<20)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for i := range int64(3) {
			waiting.Go(func() {
				if _, err := r.Read(ctx, silent+i*i*(50<<20), 1<<20); err == nil {
					t.Error("an answer that never came")
				}
			})
		}
		time.Sleep(300 * time.Millisecond) // the windows are not given back at once
		if free := g.budget.Max(mem.Demand) - g.budget.Used(); free >= 1<<20 {
			t.Fatalf("%d bytes are free: nothing is tried", free)
		}
		began := time.Now()
		g.check(r, 500<<20, 1<<20)
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		cancel()
		waiting.Wait()
	})
}
