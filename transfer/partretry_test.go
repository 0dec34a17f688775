package transfer

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

// late is what wait takes for deletions that come late.
const late = time.Minute

// TestPartsRestWhileTheServerTakesNone: a server that refuses every part for minutes, after it
// got its bytes, gets few of them, and all the rest soon after it is well.
func TestPartsRestWhileTheServerTakesNone(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.fault("UploadPart", -1, s3test.Fault{Status: status, Code: "InternalError"})
			data := writePattern(1, 200<<20)
			g.put("k", data)
			after(2 * time.Minute)
			sent, _ := g.sentParts()
			// Those in flight when it began, as many again, and one each 15 s.
			if n := len(sent); n < 12 || n > 60 {
				t.Errorf("%d parts were sent in two minutes, to no avail", n)
			}
			g.server.Fault(nil)
			g.server.ClearRequests()
			begin := time.Now()
			g.wait()
			if d := time.Since(begin) - late; d > 20*time.Second {
				t.Errorf("went on %v after the server was well", d)
			}
			if sent, _ := g.sentParts(); len(sent) != 40 {
				t.Errorf("%d parts were sent then, of 40", len(sent))
			}
			g.has("k", data)
			g.idle()
		})
	}
}

// TestRetryTriesAtOnce: who asks for it need not wait for the pause of a part.
func TestRetryTriesAtOnce(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("UploadPart", -1, s3test.Fault{Status: 500, Code: "InternalError"})
		g.put("k", writePattern(1, 100<<20))
		after(5 * time.Minute)
		g.server.Fault(nil)
		begin := time.Now()
		g.engine.Retry("")
		g.wait()
		if d := time.Since(begin) - late; d > time.Second {
			t.Errorf("went on after %v", d)
		}
		g.idle()
	})
}

// TestHalfOfThePartsFail: as long as some arrive, none rests for long.
func TestHalfOfThePartsFail(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		var count atomic.Int64
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if s3test.Op(r) == "UploadPart" && count.Add(1)%5 < 3 {
				return &s3test.Fault{Drop: true}
			}
			return nil
		})
		data := writePattern(1, 200<<20)
		begin := time.Now()
		g.put("k", data)
		g.wait()
		if d := time.Since(begin) - late; d > 20*time.Second {
			t.Errorf("in the bucket after %v", d)
		}
		g.has("k", data)
		g.idle()
	})
}

// TestPartThatTriesForAllGoes: the file is cut while its last part tries for all others.
func TestPartThatTriesForAllGoes(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("UploadPart", -1, s3test.Fault{Status: 500, Code: "InternalError"})
		data := writePattern(1, 100<<20)
		f := g.create("k")
		for off := 0; off < len(data); off += 1 << 20 {
			g.write(f, data[off:off+1<<20], int64(off))
		}
		synctest.Wait()
		after(10 * time.Second)
		f.mu.Lock()
		probe := f.head().stream.retries.probe
		f.mu.Unlock()
		if probe == 0 {
			t.Fatal("no part tries for all")
		}
		g.server.Fault(nil)
		size := max(int64(probe-2)*writePart, 1) // nothing is left of it
		if err := f.Truncate(context.Background(), size); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		g.write(f, data[:1], 0)
		g.closeFile(f)
		g.wait()
		want := append([]byte{}, data[:size]...)
		want[0] = data[0]
		g.has("k", want)
		g.idle()
	})
}
