package disk

import "slices"

// Want says that n blocks from first on are wanted for long, as far as they are there.
func (t *Tier) Want(id ID, first, n int64) {
	if t == nil {
		return
	}
	id = t.real(id)
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	for i := range n {
		if slot, ok := t.find(id, first+i); ok {
			t.mu.x.want(slot)
		}
	}
	t.mu.Unlock()
	t.notePromoted()
}

// want makes a block one of the last to be given up. It says main while it is still in
// the chain of the small queue, whose end it has to reach.
func (x *index) want(slot uint32) {
	if x.state(slot) != slotMain || x.uses(slot) != maxUses {
		x.set(slot, slotMain, maxUses)
		x.promoted = append(x.promoted, slot)
	}
}

// notePromoted writes to disk which blocks went to the main queue, or are wanted. The lock
// writing is held.
func (t *Tier) notePromoted() {
	t.mu.Lock()
	x, salt := t.mu.x, t.mu.header.salt
	if x == nil {
		t.mu.Unlock()
		return
	}
	slots := slices.DeleteFunc(x.promoted, func(s uint32) bool { return x.state(s) != slotMain })
	x.promoted = nil
	uses := make([]uint8, len(slots))
	for i, slot := range slots {
		uses[i] = x.uses(slot)
	}
	t.mu.Unlock()
	var raw [recordSize]byte
	for i, slot := range slots {
		at := headerSize + int64(slot)*recordSize
		if _, err := t.index.ReadAt(raw[:], at); err != nil {
			continue // the next read of the block tells
		}
		if r, ok := decodeRecord(raw[:], salt, slot); ok {
			r.main, r.uses = true, uses[i]
			r.encode(raw[:], salt, slot)
			_, _ = t.index.WriteAt(raw[:], at) // a torn record is an empty slot
		}
	}
}
