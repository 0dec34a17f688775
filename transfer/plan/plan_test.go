package plan

import (
	"math/rand/v2"
	"testing"
)

func TestLayoutAgreesWithItself(t *testing.T) {
	for _, l := range []Layout{{}, {Fixed: MinPart}, {Fixed: 64 << 20}} {
		end := int64(0)
		for n := 1; n <= MaxParts; n++ {
			off, size := l.Part(n)
			if off != end || size < MinPart || size > MaxPart {
				t.Fatalf("%+v part %d: [%d, +%d), want it at %d", l, n, off, size, end)
			}
			if got := l.At(off); got != n {
				t.Fatalf("%+v At(%d) = %d, want %d", l, off, got, n)
			}
			if got := l.At(off + size - 1); got != n {
				t.Fatalf("%+v At(%d) = %d, want %d", l, off+size-1, got, n)
			}
			end = off + size
		}
	}
	if got := (Layout{}).MaxSize(); got != MaxObject {
		t.Errorf("growing layout holds %d bytes, want %d", got, int64(MaxObject))
	}
}

func TestSealedLeavesATail(t *testing.T) {
	var l Layout
	for _, c := range []struct {
		end  int64
		want int
	}{{0, 0}, {1, 0}, {firstPart, 0}, {firstPart + 1, 1}, {firstPart + partStep, 1}, {firstPart + partStep + 1, 2}} {
		if got := l.Sealed(c.end); got != c.want {
			t.Errorf("Sealed(%d) = %d, want %d", c.end, got, c.want)
		}
	}
}

// model is a file as one kind per unit of 1 MiB: slow and obvious.
type model []Kind

func (m *model) set(off, n int, k Kind) {
	for len(*m) < off+n {
		*m = append(*m, Hole)
	}
	for i := off; i < off+n; i++ {
		(*m)[i] = k
	}
}

func checkAgainst(t *testing.T, e *Extents, m model) {
	t.Helper()
	if e.Size() != int64(len(m))<<20 {
		t.Fatalf("size %d, want %d MiB", e.Size(), len(m))
	}
	last := Extent{Kind: 99}
	end := int64(0)
	for _, x := range e.List() {
		if x.Off != end || x.Len <= 0 || x.Kind == last.Kind {
			t.Fatalf("extents %v are not canonical", e.List())
		}
		for i := x.Off >> 20; i < x.End()>>20; i++ {
			if m[i] != x.Kind {
				t.Fatalf("MiB %d is %v, want %v in %v", i, x.Kind, m[i], e.List())
			}
		}
		end, last = x.End(), x
	}
}

func FuzzExtents(f *testing.F) {
	f.Add(uint64(1), 20)
	f.Fuzz(func(t *testing.T, seed uint64, steps int) {
		r := rand.New(rand.NewPCG(seed, 0))
		var e Extents
		var m model
		for range min(steps, 60) {
			switch off, n, k := r.IntN(50), 1+r.IntN(20), Kind(r.IntN(3)); r.IntN(4) {
			case 0:
				e.Truncate(int64(off) << 20)
				m.set(off, 0, Hole)
				m = m[:off]
			default:
				e.Set(int64(off)<<20, int64(n)<<20, k)
				m.set(off, n, k)
			}
			checkAgainst(t, &e, m)
			again, err := FromList(e.List())
			if err != nil {
				t.Fatal(err)
			}
			checkAgainst(t, &again, m)
		}
	})
}

func FuzzEdit(f *testing.F) {
	f.Add(uint64(1), int64(10<<30), 3)
	f.Add(uint64(2), int64(6<<20), 1)
	f.Add(uint64(3), int64(5<<40), 9)
	f.Add(uint64(4), int64(100<<30), 20000)
	f.Fuzz(func(t *testing.T, seed uint64, size int64, edits int) {
		if size <= 0 || size > MaxObject || edits < 0 || edits > 30000 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		e := NewExtents(size, Base)
		for range edits {
			e.Set(r.Int64N(size), 1+r.Int64N(1<<uint(r.IntN(26))), Kind(r.IntN(3)))
			if e.Size() > MaxObject {
				e.Truncate(MaxObject)
			}
		}
		checkEdit(t, &e, Edit(&e))
	})
}

func checkEdit(t *testing.T, e *Extents, pieces []Piece) {
	t.Helper()
	end := int64(0)
	for i, p := range pieces {
		if p.Off != end || p.Len <= 0 || p.Len > MaxPart {
			t.Fatalf("piece %d %+v does not continue %d", i, p, end)
		}
		if i < len(pieces)-1 && p.Len < MinPart {
			t.Fatalf("piece %d of %d has %d bytes", i, len(pieces), p.Len)
		}
		if p.Copy && (e.Has(p.Off, p.Len, Data) || e.Has(p.Off, p.Len, Hole)) {
			t.Fatalf("piece %+v copies bytes that changed", p)
		}
		end = p.Off + p.Len
	}
	if end != e.Size() || len(pieces) > MaxParts {
		t.Fatalf("%d pieces end at %d, want %d", len(pieces), end, e.Size())
	}
}

func TestEditSendsLittle(t *testing.T) {
	for _, c := range []struct {
		name         string
		edit         func(e *Extents)
		pieces, sent int64
	}{
		{"1 byte in the middle of 10 GiB", func(e *Extents) { e.Set(5<<30, 1, Data) }, 3, MinPart},
		{"append 1 MiB", func(e *Extents) { e.Set(10<<30, 1<<20, Data) }, 3, 1 << 20},
		{"head of 4 KiB", func(e *Extents) { e.Set(0, 4096, Data) }, 3, MinPart},
		{"truncate", func(e *Extents) { e.Truncate(3 << 30) }, 1, 0},
		{"head and tail", func(e *Extents) { e.Set(0, 8, Data); e.Set(10<<30-8, 8, Data) }, 4, MinPart + 8},
	} {
		e := NewExtents(10<<30, Base)
		c.edit(&e)
		pieces := Edit(&e)
		checkEdit(t, &e, pieces)
		var sent int64
		for _, p := range pieces {
			if !p.Copy {
				sent += p.Len
			}
		}
		if int64(len(pieces)) > c.pieces || sent > c.sent {
			t.Errorf("%s: %d pieces, %d bytes sent, want at most %d and %d: %+v", c.name, len(pieces), sent, c.pieces, c.sent, pieces)
		}
	}
}

func TestNext(t *testing.T) {
	var e Extents
	e.Set(10, 10, Data)
	e.Truncate(40)
	for _, c := range []struct {
		off  int64
		hole bool
		want int64
		ok   bool
	}{{0, true, 0, true}, {0, false, 10, true}, {12, true, 20, true}, {25, false, 0, false}, {39, true, 39, true}, {40, true, 0, false}} {
		got, ok := e.Next(c.off, c.hole)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("Next(%d, %v) = %d, %v, want %d, %v", c.off, c.hole, got, ok, c.want, c.ok)
		}
	}
}
