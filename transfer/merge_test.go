package transfer

import (
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

// overwrite changes bytes of a spool file behind the engine's back.
func overwrite(t *testing.T, dir, id string, p []byte, off int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "spool", id), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
}

// twoVersions closes a large file twice. The second version changes a byte at 9 and at
// 12 MiB.
func (g *writeRig) twoVersions() (f *File, first, second []byte) {
	first = writePattern(1, 17<<20)
	second = append(second, first...)
	f = g.put("k", first)
	g.open(f)
	for _, off := range []int64{9 << 20, 12 << 20} {
		second[off]++
		g.write(f, second[off:off+1], off)
	}
	g.closeFile(f)
	synctest.Wait() // the journal has its upload
	return f, first, second
}

// The process ends when a merge has written one of two changes into the version below,
// which has an upload: the mix of both is never in the bucket.
func TestCrashInTheMiddleOfAMerge(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f, first, second := g.twoVersions()
		id := f.chain[0].id
		var transactions atomic.Int64
		g.transactions(func(apply func() error) error {
			if transactions.Add(1) > 1 { // the one before the bytes change
				return errCrashed
			}
			return apply()
		})
		after(2 * writeSettle)
		if n := transactions.Load(); n < 2 {
			t.Fatalf("%d transactions: nothing was merged", n)
		}
		g.kill(func(dir string) { overwrite(t, dir, id, first[12<<20:12<<20+1], 12<<20) })
		published := 0
		g.server.Fault(func(r *http.Request) *s3test.Fault { // one version is published, and none after it
			if op := s3test.Op(r); op == "CompleteMultipartUpload" {
				published++
			} else if published > 0 && r.Method != http.MethodHead {
				return &s3test.Fault{Status: 503}
			}
			return nil
		})
		g.start()
		after(time.Minute)
		g.has("k", second)
		g.server.Fault(nil)
		g.wait()
		g.has("k", second)
		g.keys("k")
		g.idle()
	})
}

// A rename during a merge brings the record of the version below to the journal, whose
// bytes are neither version then.
func TestCrashAfterARenameDuringAMerge(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f, _, second := g.twoVersions()
		a, b := f.chain[0], f.chain[1]
		f.mu.Lock()
		f.publishing = b
		f.mu.Unlock()
		if err := f.beginMerge(a, b); err != nil {
			t.Fatal(err)
		}
		if err := copySpool(b.spool, a.spool, 9<<20, 1); err != nil {
			t.Fatal(err)
		}
		if err := f.Rename("new", nil, nil); err != nil {
			t.Fatal(err)
		}
		g.kill(func(dir string) { overwrite(t, dir, a.id, second[12<<20:12<<20+1], 12<<20) })
		g.start()
		if len(g.found.Damaged) != 0 {
			t.Errorf("set aside: %+v", g.found.Damaged)
		}
		g.wait()
		g.has("new", second)
		g.keys("new")
		g.idle()
	})
}

// Power fails in the middle of a merge and damages the newer version: the mix below it
// is no version either.
func TestDamageInTheMiddleOfAMerge(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f, _, _ := g.twoVersions()
		a, b := f.chain[0], f.chain[1]
		if err := f.beginMerge(a, b); err != nil {
			t.Fatal(err)
		}
		g.kill(func(dir string) { overwrite(t, dir, b.id, []byte("damaged"), 9<<20) })
		g.start()
		if len(g.found.Damaged) != 2 {
			t.Errorf("set aside: %+v", g.found.Damaged)
		}
		g.wait()
		if keys := g.server.Keys(); len(keys) > 0 {
			t.Errorf("the bucket holds %q", keys)
		}
		g.idle()
	})
}
