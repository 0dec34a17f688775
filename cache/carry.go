package cache

import (
	"s3mount/cache/disk"
	"s3mount/internal/mem"
)

// Run is n blocks of a content, from First on.
type Run struct{ First, N int64 }

func (r Run) has(i int64) bool { return i >= r.First && i < r.First+r.N }

// Carry says that these blocks of one content, which nobody reads any more, have the bytes of
// those of another. What disk and memory hold of them is found under the other; in
// memory as far as there is room for a copy. On disk, what a third content shares stays.
func (b *Blocks) Carry(from, to ContentID, runs []Run) {
	if b.disk.Own(disk.ID(from)) && b.disk.Own(disk.ID(to)) {
		for _, r := range runs {
			b.disk.Move(disk.ID(from), disk.ID(to), r.First, r.N)
		}
	}
	b.handing.RLock()
	defer b.handing.RUnlock()
	for _, id := range b.memory.of(from, runs) {
		b.carryFrame(id, blockID{to, id.index})
	}
}

// carryFrame copies a block of the memory tier, and drops the first.
func (b *Blocks) carryFrame(from, to blockID) {
	old := b.memory.get(from)
	if old == nil {
		return
	}
	defer old.unref()
	b.memory.drop(from)
	if !b.budget.Try(mem.Prefetch, mem.BlockSize) {
		return
	}
	f := newFrame(b, to, mem.Prefetch)
	copy(f.buf, old.buf)
	b.memory.offer(f)
}
