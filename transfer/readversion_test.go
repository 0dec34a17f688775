package transfer

import (
	"bytes"
	"testing"

	"s3mount/internal/s3"
)

// TestReadGoesOnWithAnOldVersion reads on in a file that another client has replaced, and then
// deleted, in a bucket that keeps versions. No listing names the version's ID: the first answer
// does.
func TestReadGoesOnWithAnOldVersion(t *testing.T) {
	const size, step = 16 << 20, 128 << 10
	fetchSim(t, size, 64<<20, func(t *testing.T, g *fetchRig) {
		g.server.SetVersioned(true)
		put := func(v byte) string { return g.server.PutObject("clip.bin", bytes.Repeat([]byte{v}, size), nil) }
		o := s3.Object{Key: "clip.bin", Size: size, ETag: put(1)}
		r := g.fetcher.NewReader(NewRemote(ContentIDOf(o), o))
		defer r.Close()
		for off := int64(0); off < size; off += step {
			switch off {
			case 3 * step:
				put(2)
			case 8 << 20:
				g.server.Delete("clip.bin")
			}
			p, err := r.Read(t.Context(), off, step)
			if err != nil {
				t.Fatalf("at %d: %v", off, err)
			}
			for _, s := range p.Slices() {
				if n := bytes.Count(s, []byte{1}); n != len(s) {
					t.Fatalf("%d of %d bytes at %d are of another version", len(s)-n, len(s), off)
				}
			}
			p.Release()
		}
	})
}
