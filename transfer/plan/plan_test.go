package plan

import (
	"math/rand/v2"
	"testing"
)

func TestLayoutAgreesWithItself(t *testing.T) {
	for _, l := range []Layout{{}, {Fixed: MinPart}, {Fixed: 64 << 20}, {Hint: 400e9}, {Hint: MaxObject}} {
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

// FuzzLayout checks that the parts of any layout cover every offset once, in order, and
// within S3's limits.
func FuzzLayout(f *testing.F) {
	f.Add(int64(0), int64(0), int64(1))
	f.Add(int64(MinPart), int64(0), int64(100<<30))
	f.Add(int64(0), int64(400e9), int64(400e9))
	f.Add(int64(0), int64(9<<30), int64(MaxObject-1))
	f.Fuzz(func(t *testing.T, fixed, hint, off int64) {
		l := Layout{Fixed: fixed, Hint: hint}
		if fixed != 0 && (fixed < MinPart || fixed > MaxPart) || hint < 0 || off < 0 || off >= l.MaxSize() {
			return
		}
		n := l.At(off)
		from, size := l.Part(n)
		if n < 1 || n > MaxParts || off < from || off >= from+size || size < MinPart || size > MaxPart {
			t.Fatalf("%+v: offset %d is in part %d, [%d, +%d)", l, off, n, from, size)
		}
		if next, larger := l.Part(n + 1); next != from+size || larger < size {
			t.Fatalf("%+v: part %d is [%d, +%d), the next one [%d, +%d)", l, n, from, size, next, larger)
		}
		if l.At(from) != n || l.At(from+size-1) != n {
			t.Fatalf("%+v: part %d does not hold its ends", l, n)
		}
		if got := l.Count(off + 1); got != n {
			t.Fatalf("%+v: a file of %d bytes has %d parts, want %d", l, off+1, got, n)
		}
		sealed := l.Sealed(off + 1)
		if last, size := l.Part(max(sealed, 1)); sealed != n-1 || sealed > 0 && last+size > off {
			t.Fatalf("%+v: with %d bytes part %d is sealed, [%d, +%d)", l, off+1, sealed, last, size)
		}
		if fixed == 0 && l.MaxSize() != MaxObject {
			t.Fatalf("%+v holds %d bytes", l, l.MaxSize())
		}
		if fixed == 0 && hint > 0 && l.Count(min(hint, MaxObject)) > hintParts+1 {
			t.Fatalf("%+v: %d parts", l, l.Count(hint))
		}
	})
}

// Small files have small parts, large ones few enough, and none very large ones.
func TestPartSizesSuitTheFile(t *testing.T) {
	for _, c := range []struct {
		layout Layout
		size   int64
		parts  int
		last   int64 // size of the parts at the end
	}{
		{Layout{}, 16 << 20, 3, 8 << 20},
		{Layout{}, 1 << 30, 129, 8 << 20},
		{Layout{}, 100e9, 3617, 64 << 20},
		{Layout{}, 400e9, 5523, 256 << 20},
		{Layout{Hint: 1 << 30}, 1 << 30, 129, 8 << 20},
		{Layout{Hint: 100e9}, 100e9, 2982, 32 << 20},
		{Layout{Hint: 400e9}, 400e9, 2982, 128 << 20},
		{Layout{Hint: 400e9}, 16 << 20, 2, 128 << 20},
		{Layout{Hint: MaxObject}, MaxObject, 2561, 2 << 30},
	} {
		parts := c.layout.Count(c.size)
		if _, last := c.layout.Part(parts); parts != c.parts || last != c.last {
			t.Errorf("%+v, %d bytes: %d parts, the last of %d MiB; want %d of %d MiB", c.layout, c.size, parts, last>>20, c.parts, c.last>>20)
		}
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
	var units [Sent + 1]int64
	for _, k := range m {
		units[k]++
	}
	for k, n := range units {
		if got := e.Bytes(Kind(k)); got != n<<20 || e.Has(0, e.Size(), Kind(k)) != (n > 0) {
			t.Fatalf("%d bytes are %v, want %d MiB", got, Kind(k), n)
		}
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
			clone := e.Clone()
			checkAgainst(t, &clone, m)
		}
	})
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
