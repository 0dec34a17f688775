package transfer

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"s3mount/internal/s3"
)

// TestReadNeverMixesVersions reads an object again and again while another client overwrites
// it 50 times, each time with as many bytes of another value. A reader gets bytes of the
// version that it opened, or ErrStale; also from a server that ignores If-Match.
func TestReadNeverMixesVersions(t *testing.T) {
	const size, overwrites = 6 << 20, 50
	for _, ignores := range []bool{false, true} {
		fetchSim(t, size, 64<<20, func(t *testing.T, g *fetchRig) {
			g.server.IgnoreConditions(ignores)
			put := func(v byte) { g.server.PutObject("clip.bin", bytes.Repeat([]byte{v}, size), nil) }
			put(0)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for v := byte(1); v <= overwrites; v++ {
					time.Sleep(time.Duration(v) * 7 * time.Millisecond) // first in the middle of each, then behind
					put(v)
				}
			}()
			whole, stale := 0, 0
			for over := false; !over; {
				select {
				case <-done:
					over = true
				default:
				}
				time.Sleep(10 * time.Millisecond) // what is cached is read in no time
				if g.readVersion("clip.bin", size) {
					whole++
				} else {
					stale++
				}
			}
			t.Logf("%d reads to the end, %d stale", whole, stale)
			if whole == 0 || stale < 10 {
				t.Errorf("%d reads to the end, %d stale: nothing was tried", whole, stale)
			}
		})
	}
}

// readVersion reads the present version of an object, whose bytes are all the same, and
// tells whether it came to the end.
func (g *fetchRig) readVersion(key string, size int64) bool {
	g.t.Helper()
	data, _ := g.server.Object(key)
	want := data[0]
	o := s3.Object{Key: key, Size: size, ETag: g.server.Header(key).Get("ETag")}
	r := g.fetcher.NewReader(NewRemote(ContentIDOf(o), o))
	defer r.Close()
	for off := int64(0); off < size; off += 128 << 10 {
		p, err := r.Read(g.t.Context(), off, 128<<10)
		if errors.Is(err, ErrStale) {
			return false
		}
		if err != nil {
			g.t.Fatal(err)
		}
		for _, s := range p.Slices() {
			if n := bytes.Count(s, []byte{want}); n != len(s) {
				g.t.Fatalf("%d of %d bytes at %d are of another version", len(s)-n, len(s), off)
			}
		}
		p.Release()
	}
	return true
}
