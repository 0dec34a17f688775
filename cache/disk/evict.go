package disk

// The order in which blocks are given up is S3-FIFO: a small queue for what is new, a
// main queue for what was of use, and ghosts of what left the small queue unused. Who
// streams a hundred gigabytes once passes through the small queue only; what was read
// twice stays.

// smallPart is the share of the small queue: one in so many.
const smallPart = 10

// take hands out up to n slots for writing, the longest unused first, giving up
// blocks where it must.
func (x *index) take(n int) []uint32 {
	slots := make([]uint32, 0, n)
	for len(slots) < n {
		slot := x.takeOne()
		if slot == none {
			break
		}
		x.set(slot, slotBusy, 0)
		slots = append(slots, slot)
	}
	return slots
}

func (x *index) takeOne() uint32 {
	switch {
	case x.free.n > 0:
		return x.pop(&x.free)
	case x.fresh < x.usable:
		x.fresh++
		return x.fresh - 1
	}
	return x.evict()
}

// evict gives up one block and returns its slot, none when there is nothing.
func (x *index) evict() uint32 {
	for {
		var slot uint32
		switch {
		case x.small.n > 0 && (x.small.n*smallPart >= x.small.n+x.main.n || x.main.n == 0):
			slot = x.pop(&x.small)
			if x.state(slot) == slotMain { // somebody wants it
				x.push(&x.main, slot)
				continue
			}
			if x.state(slot) != slotDead && x.uses(slot) > 0 {
				x.set(slot, slotMain, 0)
				x.push(&x.main, slot)
				x.promoted = append(x.promoted, slot)
				continue
			}
			if x.state(slot) != slotDead {
				fingerprint, at := x.ghostOf(x.hashes[slot])
				x.ghost[at] = fingerprint
			}
		case x.main.n > 0:
			slot = x.pop(&x.main)
			if n := x.uses(slot); x.state(slot) != slotDead && n > 0 {
				x.set(slot, slotMain, n-1)
				x.push(&x.main, slot)
				continue
			}
		default:
			return none
		}
		if x.state(slot) == slotDead {
			x.dead--
			return slot
		}
		x.remove(slot)
		x.evicted++
		return slot
	}
}
