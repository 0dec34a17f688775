package disk

import (
	"context"
	"time"

	"github.com/zeebo/xxh3"

	"s3mount/internal/mem"
)

// Run counts blocks from first on, at most n, that are all there or all not.
func (t *Tier) Run(id ID, first, n int64) (run int64, there bool) {
	if t == nil {
		return n, false
	}
	id = t.real(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	for run < n {
		_, has := t.find(id, first+run)
		if run > 0 && has != there {
			return run, there
		}
		there = has
		run++
	}
	return run, there
}

// find is the slot of a block. The lock is held.
func (t *Tier) find(id ID, index int64) (uint32, bool) {
	if t.mu.x == nil || t.mu.closed {
		return none, false
	}
	slot := t.mu.x.find(hashOf(id, index, t.mu.header.salt))
	return slot, slot != none
}

// Await returns when the index has been read, after two seconds, or when ctx ends.
func (t *Tier) Await(ctx context.Context) {
	if t != nil {
		t.await(ctx)
	}
}

// Prepare tells the system that n blocks from first on are about to be read, as far as
// they are there, so that it reads them in large runs.
func (t *Tier) Prepare(id ID, first, n int64) {
	if t == nil || t.pastCache() {
		return
	}
	id = t.real(id)
	var from, to uint32 // slots
	flush := func() {
		if to > from+1 {
			readSoon(t.data, int64(from)*mem.BlockSize, int64(to-from)*mem.BlockSize)
		}
	}
	for i := range n {
		t.mu.Lock()
		slot, ok := t.find(id, first+i)
		t.mu.Unlock()
		switch {
		case ok && slot == to && to > from:
			to++
		case ok:
			flush()
			from, to = slot, slot+1
		}
	}
	flush()
}

// Read fills p with a block, which has len(p) bytes. It returns false when the block is
// not there, or not as it was written; then p is undefined. What lies behind p, up to its
// capacity, is undefined afterwards.
func (t *Tier) Read(id ID, index int64, p []byte) bool {
	if t == nil {
		return false
	}
	id = t.real(id)
	t.mu.Lock()
	slot, ok := t.find(id, index)
	salt := t.mu.header.salt
	t.mu.Unlock()
	if !ok {
		return false
	}
	err := t.readSlot(slot, salt, id, index, p)
	t.mu.Lock()
	if now, still := t.find(id, index); err != "" && still && now == slot && salt == t.mu.header.salt {
		t.mu.x.drop(slot)
		t.damaged(slot, err)
	} else if err == "" && still && now == slot {
		t.mu.x.use(slot)
	}
	if err == "" {
		t.mu.stats.Read += int64(len(p))
	}
	t.mu.Unlock()
	return err == ""
}

// readSlot reads and checks a block; it tells what is wrong.
func (t *Tier) readSlot(slot uint32, salt uint64, id ID, index int64, p []byte) (wrong string) {
	var raw [recordSize]byte
	if _, err := t.index.ReadAt(raw[:], headerSize+int64(slot)*recordSize); err != nil {
		return err.Error()
	}
	r, ok := decodeRecord(raw[:], salt, slot)
	if !ok || r.id != id || r.index != index || int(r.size) != len(p) {
		return "the record is not that of the block"
	}
	if err := t.readData(p, int64(slot)*mem.BlockSize); err != nil {
		return err.Error()
	}
	if xxh3.Hash(p) != r.sum {
		return "the bytes are not those that were written"
	}
	return ""
}

// damaged counts a bad block, and logs one in a minute. The lock is held.
func (t *Tier) damaged(slot uint32, wrong string) {
	t.mu.stats.Damaged++
	if time.Since(t.mu.warned) < time.Minute {
		return
	}
	t.mu.warned = time.Now()
	t.log.Warn("a block of the cache is damaged; it is fetched again", "dir", t.dir, "slot", slot,
		"what", wrong, "damaged", t.mu.stats.Damaged)
}
