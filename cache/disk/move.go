package disk

// moveRun is how many blocks are moved before whoever waits to write has a turn.
const moveRun = 256

// Move says that n blocks of a content, from first on, have the bytes of those of another:
// what is there of them is found under the other from now on, and not under the first.
// Their bytes stay where they are. After a crash each block is found under either, or not at
// all. Both have blocks of their own (Own).
func (t *Tier) Move(from, to ID, first, n int64) {
	if t == nil {
		return
	}
	<-t.loaded
	for ; n > 0; first, n = first+moveRun, n-moveRun {
		t.moveSome(from, to, first, min(n, moveRun))
	}
}

// moved is a block that is on its way from one name to another: no search finds it.
type moved struct {
	slot  uint32
	index int64
}

func (t *Tier) moveSome(from, to ID, first, n int64) {
	t.writing.Lock() // nobody gives up slots meanwhile
	defer t.writing.Unlock()
	var list []moved
	t.mu.Lock()
	salt := t.mu.header.salt
	for i := range t.mu.queue {
		if it := &t.mu.queue[i]; it.id == from && it.index >= first && it.index < first+n {
			it.id = to
		}
	}
	for i := first; i < first+n; i++ {
		if slot, ok := t.find(from, i); ok {
			t.mu.x.remove(slot)
			list = append(list, moved{slot, i})
		}
	}
	t.mu.Unlock()
	for _, m := range list {
		written := t.rename(m, salt, from, to)
		t.mu.Lock()
		t.mu.x.found(m.slot, hashOf(to, m.index, salt), written)
		t.mu.Unlock()
	}
}

// rename writes the record of a block anew.
func (t *Tier) rename(m moved, salt uint64, from, to ID) bool {
	var raw [recordSize]byte
	at := headerSize + int64(m.slot)*recordSize
	if _, err := t.index.ReadAt(raw[:], at); err != nil {
		return false
	}
	r, ok := decodeRecord(raw[:], salt, m.slot)
	if !ok || r.id != from || r.index != m.index {
		return false
	}
	r.id = to
	r.encode(raw[:], salt, m.slot)
	_, err := t.index.WriteAt(raw[:], at)
	return err == nil
}

// found enters a block that remove took out, under another hash. Where it is not to be found,
// or another slot has it, its slot is emptied when its turn comes.
func (x *index) found(slot uint32, h uint64, usable bool) {
	if !usable || x.find(h) != none {
		x.set(slot, slotDead, 0)
		x.dead++
		return
	}
	x.place(slot, h)
}

// Own tells whether the blocks of a content are kept under its ID, and under no other (Alias).
func (t *Tier) Own(id ID) bool {
	if t == nil {
		return false
	}
	a := &t.aliases
	a.mu.RLock()
	defer a.mu.RUnlock()
	if _, ok := a.ids[id]; ok {
		return false
	}
	for _, other := range a.ids {
		if other == id {
			return false
		}
	}
	return true
}
