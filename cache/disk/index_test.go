package disk

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func testHash(i int) uint64 { return hashOf(ID{1}, int64(i), 7) }

// access is a read through the cache: found, or fetched and written.
func access(x *index, i int) (hit bool) {
	if slot := x.find(testHash(i)); slot != none {
		x.use(slot)
		return true
	}
	if slots := x.take(1); len(slots) == 1 {
		x.insert(slots[0], testHash(i), x.recall(testHash(i)), 0)
	}
	return false
}

func hits(x *index, from, to int) (n int) {
	for i := from; i < to; i++ {
		if access(x, i) {
			n++
		}
	}
	return n
}

// TestScanSparesTheWorkingSet reads a set twice, then streams ten times the cache's size
// past it. With the least recently used first to go, nothing would be left.
func TestScanSparesTheWorkingSet(t *testing.T) {
	const slots = 10_000
	for _, set := range []int{slots / 20, slots / 2, slots * 8 / 10} {
		x := newIndex(slots)
		hits(x, 0, set)
		if got := hits(x, 0, set); got != set {
			t.Fatalf("%d of %d blocks found at the second reading", got, set)
		}
		hits(x, 1_000_000, 1_000_000+10*slots)
		if got := hits(x, 0, set); got < set*99/100 {
			t.Errorf("a set of %d blocks in %d slots: %d left after a scan", set, slots, got)
		}
	}
}

// TestWorkingSetComesBack begins with a cache full of a scan: a set that is larger than
// the small queue is recognised by its ghosts.
func TestWorkingSetComesBack(t *testing.T) {
	const slots, set = 10_000, 5_000
	x := newIndex(slots)
	hits(x, 1_000_000, 1_000_000+3*slots)
	hits(x, 0, set)
	hits(x, 0, set)
	if got := hits(x, 0, set); got < set*9/10 {
		t.Errorf("%d of %d found at the third reading", got, set)
	}
}

// TestIndexAgainstModel does random operations on the index and on a map.
func TestIndexAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const slots = 97
	x := newIndex(slots)
	model := map[uint64]uint32{}
	var busy []uint32
	for step := range 200_000 {
		h := testHash(rng.IntN(300))
		switch rng.IntN(10) {
		case 0, 1, 2:
			got := x.take(1 + rng.IntN(4))
			for _, s := range got {
				for k, v := range model {
					if v == s {
						delete(model, k)
					}
				}
			}
			busy = append(busy, got...)
		case 3, 4, 5, 6:
			if len(busy) == 0 {
				continue
			}
			slot := busy[0]
			busy = busy[1:]
			if _, there := model[h]; !there {
				model[h] = slot
			}
			x.insert(slot, h, x.recall(h) || rng.IntN(5) == 0, uint8(rng.IntN(4)))
		case 7:
			if slot := x.find(h); slot != none {
				x.drop(slot)
				delete(model, h)
			}
		case 8:
			if rng.IntN(100) == 0 {
				x.sweep()
			}
		default:
			if slot := x.find(h); slot != none && rng.IntN(10) == 0 {
				x.want(slot)
			} else if slot != none {
				x.use(slot)
			}
		}
		if step%100 == 0 || step > 199_000 {
			checkIndex(t, x, model, busy)
		}
	}
	if x.evicted == 0 {
		t.Error("nothing was ever given up")
	}
}

// checkIndex compares the index with the model, and counts every slot once.
func checkIndex(t *testing.T, x *index, model map[uint64]uint32, busy []uint32) {
	t.Helper()
	for i := range 300 {
		want, ok := model[testHash(i)]
		if !ok {
			want = none
		}
		if got := x.find(testHash(i)); got != want {
			t.Fatalf("block %d in slot %d, want %d", i, int32(got), int32(want))
		}
	}
	seen := slices.Clone(busy)
	dead := 0
	for _, q := range []queue{x.free, x.small, x.main} {
		n := 0
		for s := q.first; s != none; s = x.next[s] {
			seen = append(seen, s)
			n++
			if x.state(s) == slotDead {
				dead++
			}
		}
		if n != q.n {
			t.Fatalf("queue has %d slots, says %d", n, q.n)
		}
	}
	slices.Sort(seen)
	if len(slices.Compact(slices.Clone(seen))) != len(seen) || len(seen) != int(x.fresh) || dead != x.dead || x.blocks != len(model) {
		t.Fatalf("%d slots of %d, %d dead of %d, %d blocks of %d", len(seen), x.fresh, dead, x.dead, x.blocks, len(model))
	}
}

// TestIndexMemory holds what a cached byte costs in memory: 1 MiB for 10 GiB.
func TestIndexMemory(t *testing.T) {
	const slots = 10 << 30 / (256 << 10)
	x := newIndex(slots)
	bytes := len(x.hashes)*8 + len(x.next)*4 + len(x.meta) + len(x.table)*4 + len(x.ghost)*4 + int(unsafe.Sizeof(*x))
	if bytes > 1<<20 {
		t.Errorf("index of 10 GiB takes %d bytes", bytes)
	}
}
