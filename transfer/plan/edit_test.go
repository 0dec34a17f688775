package plan

import (
	"math/rand/v2"
	"testing"
)

// FuzzEdit edits files of any size at random, and checks every plan against S3's
// limits.
func FuzzEdit(f *testing.F) {
	f.Add(uint64(1), int64(10<<30), 3)
	f.Add(uint64(2), int64(6<<20), 1)
	f.Add(uint64(3), int64(5<<40), 9)
	f.Add(uint64(4), int64(100<<30), 4000)
	f.Add(uint64(5), int64(5<<40), 4000)
	f.Fuzz(func(t *testing.T, seed uint64, size int64, edits int) {
		if size <= 0 || size > MaxObject || edits < 0 || edits > 4000 {
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
		checkEdit(t, &e, Edit(&e), s3Limits)
	})
}

func checkEdit(t *testing.T, e *Extents, pieces []Piece, l limits) {
	t.Helper()
	end := int64(0)
	for i, p := range pieces {
		if p.Off != end || p.Len <= 0 || p.Len > l.max {
			t.Fatalf("piece %d %+v does not continue %d", i, p, end)
		}
		if i < len(pieces)-1 && p.Len < l.min {
			t.Fatalf("piece %d of %d has %d bytes", i, len(pieces), p.Len)
		}
		if p.Copy && (e.Has(p.Off, p.Len, Data) || e.Has(p.Off, p.Len, Hole)) {
			t.Fatalf("piece %+v copies bytes that changed", p)
		}
		end = p.Off + p.Len
	}
	if end != e.Size() || len(pieces) > l.parts {
		t.Fatalf("%d pieces end at %d, want %d", len(pieces), end, e.Size())
	}
}

// FuzzEditIsBest compares plans under small limits with the best of all plans.
func FuzzEditIsBest(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, byte(60), byte(seed), byte(3), byte(40))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size, edits, least, parts byte) {
		if size == 0 || size > 120 || edits > 30 || least == 0 || least > 9 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 1))
		e := NewExtents(int64(size), Base)
		for range edits {
			e.Set(r.Int64N(int64(size)), 1+r.Int64N(int64(least)), Kind(1+r.IntN(2)))
		}
		m := int64(least)
		send := 2*m + r.Int64N(3*m)
		l := limits{min: m, max: send + r.Int64N(60), parts: 1000, send: send, copy: send, spread: 1 + r.Int64N(6)}
		pieces := l.edit(&e)
		checkEdit(t, &e, pieces, l)
		l.copy = min(max(partsOf(e.Bytes(Base), l.spread), l.copy), l.max)
		best := bestPlans(&e, l)
		if got, want := sent(pieces), best[len(best)-1]; got != want {
			t.Fatalf("%v, %+v: sends %d bytes, %d would do: %v", e.List(), l, got, want, pieces)
		}
		// Dividing a long run may take one piece more than if it had lent other bytes.
		if want := fewest(best); len(pieces) > want+len(l.copyable(&e)) {
			t.Fatalf("%v, %+v: %d parts, %d would do: %v", e.List(), l, len(pieces), want, pieces)
		}

		// With a limit of parts that is felt, and parts as large as they need be.
		l = limits{min: m, max: 1000, parts: max(1, int(parts)%(len(pieces)+1)), send: 1000, copy: 1000, spread: 1}
		pieces = l.edit(&e)
		checkEdit(t, &e, pieces, l)
		if got, want := sent(pieces), bestPlans(&e, l)[len(pieces)]; got != want {
			t.Fatalf("%v, %+v: %d parts send %d bytes, %d would do: %v", e.List(), l, len(pieces), got, want, pieces)
		}
	})
}

func sent(pieces []Piece) (n int64) {
	for _, p := range pieces {
		if !p.Copy {
			n += p.Len
		}
	}
	return n
}

// bestPlans tries every plan: element k is the fewest bytes that a plan of at most k
// parts sends. More parts than the last element's are of no use.
func bestPlans(e *Extents, l limits) []int64 {
	const none = 1 << 40
	size := e.Size()
	at := make([]int64, size+1) // fewest bytes up to an offset, with exactly k parts
	for i := range at {
		at[i] = none
	}
	at[0] = 0
	best := []int64{none}
	for k := 1; k <= int(size); k++ {
		next := make([]int64, size+1)
		for i := range next {
			next[i] = none
		}
		for from := range size {
			for to := from + 1; to <= size && to-from <= l.max && at[from] < none; to++ {
				if to-from < l.min && to < size {
					continue
				}
				cost := to - from
				if to-from > l.send {
					cost = none
				}
				if to-from <= l.copy && !e.Has(from, to-from, Data) && !e.Has(from, to-from, Hole) {
					cost = 0
				}
				next[to] = min(next[to], at[from]+cost)
			}
		}
		at = next
		best = append(best, min(best[k-1], at[size]))
	}
	return best
}

// fewest is the least number of parts with which the fewest bytes are sent.
func fewest(best []int64) int {
	for k, n := range best {
		if n == best[len(best)-1] {
			return k
		}
	}
	return 0
}

func TestEditSendsLittle(t *testing.T) {
	const ten, hundred = 10 << 30, 100e9
	for _, c := range []struct {
		name         string
		size         int64
		edit         func(e *Extents)
		pieces, sent int64
	}{
		{"1 byte in the middle of 10 GiB", ten, func(e *Extents) { e.Set(5<<30, 1, Data) }, 7, MinPart},
		{"append 1 MiB to 10 GiB", ten, func(e *Extents) { e.Set(ten, 1<<20, Data) }, 6, 1 << 20},
		{"1 byte in the middle of 100 GB", hundred, func(e *Extents) { e.Set(50e9, 1, Data) }, 21, MinPart},
		{"1 byte in the middle of 1 GiB", 1 << 30, func(e *Extents) { e.Set(1<<29, 1, Data) }, 3, MinPart},
		{"head of 4 KiB", ten, func(e *Extents) { e.Set(0, 4096, Data) }, 6, MinPart},
		{"truncate", ten, func(e *Extents) { e.Truncate(3 << 30) }, 5, 0},
		{"head and tail", ten, func(e *Extents) { e.Set(0, 8, Data); e.Set(ten-8, 8, Data) }, 7, MinPart + 8},
		{"two bytes, 6 MiB apart", ten, func(e *Extents) { e.Set(5<<30, 1, Data); e.Set(5<<30+6<<20, 1, Data) }, 8, 6<<20 + 1},
		{"two bytes, 60 MiB apart", ten, func(e *Extents) { e.Set(5<<30, 1, Data); e.Set(5<<30+60<<20, 1, Data) }, 9, 2 * MinPart},
	} {
		e := NewExtents(c.size, Base)
		c.edit(&e)
		pieces := Edit(&e)
		checkEdit(t, &e, pieces, s3Limits)
		if int64(len(pieces)) > c.pieces || sent(pieces) > c.sent {
			t.Errorf("%s: %d pieces, %d bytes sent, want at most %d and %d: %+v", c.name, len(pieces), sent(pieces), c.pieces, c.sent, pieces)
		}
	}
}

func TestOnePut(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
		edit func(e *Extents)
		want bool
	}{
		{"new file", 0, func(e *Extents) { e.Set(0, PutMax, Data) }, true},
		{"large new file", 0, func(e *Extents) { e.Set(0, PutMax+1, Data) }, false},
		{"1 byte of 3 MiB", 3 << 20, func(e *Extents) { e.Set(0, 1, Data) }, true},
		{"1 byte of 8 MiB: the rest borrows", 8 << 20, func(e *Extents) { e.Set(0, 1, Data) }, true},
		{"append to 8 MiB", 8 << 20, func(e *Extents) { e.Set(8<<20, 1, Data) }, false},
		{"1 byte of 16 MiB", 16 << 20, func(e *Extents) { e.Set(8<<20, 1, Data) }, false},
		{"1 byte of 17 MiB", 17 << 20, func(e *Extents) { e.Set(8<<20, 1, Data) }, false},
	} {
		e := NewExtents(c.size, Base)
		c.edit(&e)
		if got := OnePut(&e); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func BenchmarkEditOfManyExtents(b *testing.B) {
	e := NewExtents(MaxObject, Base)
	for i := range int64(100_000) {
		e.Set(i*50<<20+i%7<<20, 1, Data)
	}
	for b.Loop() {
		Edit(&e)
	}
}
