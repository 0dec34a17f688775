package journal

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"s3mount/internal/mem"
)

var errNoMore = errors.New("no more")

// limited takes so many bytes, as a connection does that breaks.
type limited struct {
	bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	k := min(len(p), l.left)
	l.left -= k
	l.Buffer.Write(p[:k])
	if k < len(p) {
		return k, errNoMore
	}
	return k, nil
}

// TestReader reads and seeks at random, in ranges that end in the file or behind it, with
// memory for many blocks, for some, and for none, and compares with a plain buffer.
func TestReader(t *testing.T) {
	for _, memory := range []int64{64 << 20, 4 << 20, 0} {
		rng := rand.New(rand.NewPCG(uint64(memory), 3))
		budget, arena := mem.New(64<<20), mem.NewArena()
		j, err := Open(Options{Dir: t.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30, Budget: budget, Arena: arena})
		if err != nil {
			t.Fatal(err)
		}
		f, err := j.Spool.Create("x")
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, 5<<20+1234)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		if _, err := f.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		taken := budget.Max(mem.Upload) - min(memory, budget.Max(mem.Upload)) // by others
		if !budget.Try(mem.Upload, taken) {
			t.Fatal("no memory to take away")
		}
		want := append(data, make([]byte, 1<<20)...) // zeros behind the end
		for range 20 {
			off := rng.IntN(len(want))
			readAnywhere(t, rng, f, want[off:off+rng.IntN(len(want)-off)+1], int64(off))
			if used := budget.Used(); used != taken {
				t.Fatalf("memory %d: %d bytes leased after Close", memory, used-taken)
			}
		}
		budget.Release(mem.Upload, taken)
		f.Unref()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		arena.Close()
	}
}

// readAnywhere uses one Reader of the bytes want, which are at off.
func readAnywhere(t *testing.T, rng *rand.Rand, f *File, want []byte, off int64) {
	t.Helper()
	r := f.NewReader(off, int64(len(want)))
	defer r.Close()
	for pos := 0; ; {
		ended := false
		switch rng.IntN(8) {
		case 0:
			return
		case 1, 2:
			pos = rng.IntN(len(want) + 1)
			if _, err := r.Seek(int64(pos), io.SeekStart); err != nil {
				t.Fatal(err)
			}
		case 3:
			w := limited{left: rng.IntN(3 << 20)}
			n, err := r.WriteTo(&w)
			if int(n) != w.Len() || err != nil && err != errNoMore || !bytes.Equal(w.Bytes(), want[pos:pos+w.Len()]) || err == nil && pos+w.Len() != len(want) {
				t.Fatalf("WriteTo at %d of %d (file: %d): %d, %v, or other bytes", pos, len(want), off, n, err)
			}
			pos, ended = pos+w.Len(), err == nil && n > 0
		default:
			p := make([]byte, 1+rng.IntN(1<<20))
			n, err := io.ReadFull(r, p)
			if n != min(len(p), len(want)-pos) || !bytes.Equal(p[:n], want[pos:pos+n]) || n == len(p) && err != nil {
				t.Fatalf("read of %d at %d of %d (file: %d): %d, %v, or other bytes", len(p), pos, len(want), off, n, err)
			}
			pos, ended = pos+n, n > 0 && pos+n == len(want)
		}
		if held := len(r.blocks); held > runBlocks || ended && held > 0 {
			t.Fatalf("%d blocks are held at %d of %d", held, pos, len(want))
		}
	}
}
