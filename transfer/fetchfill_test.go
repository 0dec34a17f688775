package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"s3mount/internal/s3/s3test"
)

// memoryFile is an io.WriterAt.
type memoryFile struct {
	mu sync.Mutex
	p  []byte
}

func (m *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.p[off:], p), nil
}

func TestFill(t *testing.T) {
	fetchSim(t, 40<<20, 64<<20, func(t *testing.T, g *fetchRig) {
		g.fault(func(count int, n int64) *s3test.Fault {
			if count%2 == 0 {
				return nil
			}
			return &s3test.Fault{Cut: true, After: n / 3}
		})
		w := &memoryFile{p: make([]byte, g.object.Size)}
		off, n := int64(12345), int64(30<<20)
		if err := g.fetcher.Fill(t.Context(), g.remote, off, n, w); err != nil {
			t.Fatal(err)
		}
		for i := off; i < off+n; i += 1001 {
			if w.p[i] != fetchPattern(i) {
				t.Fatalf("wrong byte at %d", i)
			}
		}
		if w.p[off-1] != 0 || w.p[off+n] != 0 {
			t.Error("wrote outside the range")
		}
		g.overwrite()
		if err := g.fetcher.Fill(t.Context(), g.remote, off, n, w); !errors.Is(err, ErrStale) {
			t.Errorf("got %v, want ErrStale", err)
		}
	})
}

type brokenFile struct{}

func (brokenFile) WriteAt([]byte, int64) (int, error) { return 0, io.ErrShortWrite }

func TestFillErrors(t *testing.T) {
	fetchSim(t, 40<<20, 64<<20, func(t *testing.T, g *fetchRig) {
		if err := g.fetcher.Fill(t.Context(), g.remote, 0, 20<<20, brokenFile{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("got %v, want the error of the file", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), fetchTestTrip/2)
		defer cancel()
		err := g.fetcher.Fill(ctx, g.remote, 0, 20<<20, brokenFile{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestChunksReleaseOnce(t *testing.T) {
	n := 0
	c := ChunkOf([]byte("abc"), func() { n++ })
	p := make([]byte, 2)
	if c.Len() != 3 || c.CopyTo(p) != 2 || string(p) != "ab" || len(c.Slices()) != 1 {
		t.Errorf("chunk of abc: %q, %d", p, c.Len())
	}
	c.Release()
	defer func() {
		if recover() == nil || n != 1 {
			t.Errorf("released %d times", n)
		}
	}()
	c.Release()
}
