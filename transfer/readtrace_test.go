package transfer

import (
	"bytes"
	"context"
	"testing"

	"s3mount/internal/mem"
)

// TestReadAsEditorsDo opens a clip twelve times, as melt does for four cuts: each time its head,
// its tail and its index are read. Then the cuts are played in turns. Each block comes once,
// whoever has opened the file.
func TestReadAsEditorsDo(t *testing.T) {
	const size, cuts = 96 << 20, 4
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(5, size)
		f := g.existing("clip.mov", data)
		read := func(off, n int64) {
			t.Helper()
			for end := min(off+n, size); off < end; off += 128 << 10 {
				c, err := f.Read(context.Background(), off, int(min(128<<10, end-off)))
				if err != nil {
					t.Fatal(err)
				}
				at := off
				for _, s := range c.Slices() {
					if !bytes.Equal(s, data[at:at+int64(len(s))]) {
						t.Fatalf("wrong bytes at %d", at)
					}
					at += int64(len(s))
				}
				c.Release()
			}
		}
		for range 12 {
			if err := f.OpenHandle(false); err != nil {
				t.Fatal(err)
			}
			read(0, 32<<10)
			read(size-35<<10, 35<<10)
			read(300<<10, 400<<10)
			f.CloseHandle(false)
		}
		if err := f.OpenHandle(false); err != nil {
			t.Fatal(err)
		}
		for i := range int64(48) {
			for cut := range int64(cuts) {
				read(cut*(size/cuts)+i*(128<<10), 128<<10)
			}
		}
		f.CloseHandle(false)
		seen := map[int64]bool{}
		for _, r := range g.server.Requests() {
			if r.Op != "GetObject" {
				continue
			}
			off, n := fetchTestRange(r.Header)
			for b := off / mem.BlockSize; b*mem.BlockSize < off+n; b++ {
				if seen[b] {
					t.Errorf("block %d was asked for twice", b)
				}
				seen[b] = true
			}
		}
		if len(seen) == 0 {
			t.Error("nothing was fetched")
		}
		f.Forget()
	})
}
