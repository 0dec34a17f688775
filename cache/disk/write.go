package disk

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"s3mount/internal/mem"
)

const (
	// writeRun is how many blocks go in one batch at most.
	writeRun = 64
	// gatherTime is how long the writer lets blocks gather, so that neighbours
	// go in one call.
	gatherTime = 20 * time.Millisecond
	// retryPause follows when the disk is full or fails.
	retryPause = time.Minute
	// growRun is how many slots the disk is asked for at once: 64 MiB.
	growRun = 256
	// spareMost is left free on the disk, or a twentieth of a small one.
	spareMost = 1 << 30
)

// item is a block to be written.
type item struct {
	id      ID
	index   int64
	data    []byte
	release func() // data is not needed any more
	main    bool   // it goes to the main queue,
	uses    uint8  // as if it had been read so often
	slot    uint32
}

// Offer hands over a block, to be written soon. It returns false, and does not call
// release, when the block is there already or the disk is behind.
func (t *Tier) Offer(id ID, index int64, data []byte, release func()) bool {
	if t == nil {
		return false
	}
	id = t.real(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, there := t.find(id, index); there || t.mu.closed || !t.mu.retry.IsZero() && time.Now().Before(t.mu.retry) {
		return false
	}
	if len(t.mu.queue) >= t.queue {
		t.mu.stats.Dropped++
		return false
	}
	t.mu.queue = append(t.mu.queue, item{id: id, index: index, data: data, release: release})
	if n := len(t.mu.queue); n == 1 || n == t.gather() {
		t.signal()
	}
	return true
}

// batch is how many blocks are written at once: few for a small tier, whose
// slots must not all be on their way at the same time.
func (t *Tier) batch() int { return min(writeRun, max(int(t.slots)/16, 1)) }

// gather is how many blocks the writer does not wait for more with.
func (t *Tier) gather() int { return min(t.batch(), max(t.queue/2, 1)) }

// Shed lets go of queued blocks, at least n bytes if there are as many, and returns how
// much it was.
func (t *Tier) Shed(n int64) (freed int64) {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	k := min(int((n+mem.BlockSize-1)/mem.BlockSize), len(t.mu.queue))
	shed := slices.Clone(t.mu.queue[len(t.mu.queue)-k:])
	t.mu.queue = slices.Delete(t.mu.queue, len(t.mu.queue)-k, len(t.mu.queue))
	t.mu.stats.Dropped += int64(k)
	t.mu.Unlock()
	for _, it := range shed {
		it.release()
	}
	return int64(k) * mem.BlockSize
}

// Write writes a block that is wanted for long, at once. It returns false when the disk
// does not take it.
func (t *Tier) Write(id ID, index int64, data []byte) bool {
	there := t.writeNow(item{id: id, index: index, data: data, main: true, uses: maxUses})
	if there {
		t.Want(id, index, 1) // another way may have brought it
	}
	return there
}

// Add writes a block like any other, at once. It returns false when the disk does not
// take it.
func (t *Tier) Add(id ID, index int64, data []byte) bool {
	return t.writeNow(item{id: id, index: index, data: data})
}

func (t *Tier) writeNow(it item) bool {
	if t == nil {
		return false
	}
	<-t.loaded
	it.id = t.real(it.id)
	t.mu.Lock()
	_, there := t.find(it.id, it.index)
	refuse := t.mu.closed || !t.mu.retry.IsZero() && time.Now().Before(t.mu.retry)
	t.mu.Unlock()
	if there || refuse {
		return there
	}
	t.write([]item{it})
	_, there = t.Run(it.id, it.index, 1)
	return there
}

func (t *Tier) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run reads the index, then writes what is offered until the tier is closed.
func (t *Tier) run() {
	if err := t.load(); err != nil {
		t.log.Warn("the index of the block cache cannot be read", "dir", t.dir, "err", err)
	}
	for range t.wake {
		for {
			t.mu.Lock()
			n, closed := len(t.mu.queue), t.mu.closed
			t.mu.Unlock()
			if n < t.gather() && n > 0 && !closed {
				select {
				case <-time.After(gatherTime):
				case <-t.wake:
				}
			}
			t.writing.Lock() // so that Evict finds a block in the queue or on disk
			t.mu.Lock()
			k := min(t.batch(), len(t.mu.queue))
			batch := slices.Clone(t.mu.queue[:k])
			t.mu.queue = slices.Delete(t.mu.queue, 0, k)
			closed = t.mu.closed
			t.mu.Unlock()
			if len(batch) > 0 {
				t.writeLocked(batch)
			}
			t.writing.Unlock()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			for _, it := range batch {
				it.release()
			}
		}
	}
}

// write puts blocks into slots: neighbours side by side, in one call. It blocks as
// long as the disk does.
func (t *Tier) write(batch []item) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.writeLocked(batch)
}

// writeLocked is write for who holds t.writing.
func (t *Tier) writeLocked(batch []item) {
	slices.SortFunc(batch, func(a, b item) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.index, b.index))
	})
	batch = t.place(batch)
	if len(batch) == 0 {
		return
	}
	for len(batch) > 0 {
		n := 1 // blocks of which all but the last fill their slot
		for n < len(batch) && batch[n].slot == batch[n-1].slot+1 && len(batch[n-1].data) == mem.BlockSize {
			n++
		}
		if err := t.writeSlots(batch[:n]); err != nil {
			t.failed(err, batch)
			return
		}
		batch = batch[n:]
	}
	t.notePromoted()
}

// place gives each block that is not there yet a slot.
func (t *Tier) place(batch []item) []item {
	t.mu.Lock()
	salt := t.mu.header.salt
	fresh := batch[:0:0]
	for i, it := range batch {
		_, there := t.find(it.id, it.index)
		twice := i > 0 && batch[i-1].id == it.id && batch[i-1].index == it.index
		if t.mu.x == nil || there || twice {
			continue
		}
		it.main = t.mu.x.recall(hashOf(it.id, it.index, salt)) || it.main
		fresh = append(fresh, it)
	}
	short := t.mu.x != nil && len(fresh) > t.mu.x.free.n+int(t.mu.x.usable-t.mu.x.fresh)
	t.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	if short {
		t.grow()
	}
	t.mu.Lock()
	slots := t.mu.x.take(len(fresh))
	t.mu.Unlock()
	slices.Sort(slots)
	for i, slot := range slots {
		fresh[i].slot = slot
	}
	return fresh[:len(slots)]
}

// writeSlots writes neighbouring slots, then their records, and enters the blocks.
func (t *Tier) writeSlots(run []item) error {
	t.mu.Lock()
	salt, stamp := t.mu.header.salt, t.mu.stamp
	t.mu.stamp += uint64(len(run))
	t.mu.Unlock()
	records := make([]byte, len(run)*recordSize)
	vector := make([][]byte, len(run))
	for i, it := range run {
		stamp++
		r := record{id: it.id, index: it.index, size: uint32(len(it.data)), main: it.main, uses: it.uses, sum: xxh3.Hash(it.data), stamp: stamp}
		r.encode(records[i*recordSize:], salt, it.slot)
		vector[i] = it.data
	}
	if err := t.writeData(vector, int64(run[0].slot)*mem.BlockSize); err != nil {
		return err
	}
	if _, err := t.index.WriteAt(records, headerSize+int64(run[0].slot)*recordSize); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.retry = time.Time{}
	for _, it := range run {
		t.mu.x.insert(it.slot, hashOf(it.id, it.index, salt), it.main, it.uses)
		t.mu.stats.Written += int64(len(it.data))
	}
	return nil
}

// failed gives the slots of blocks that were not written back, and stops writing for a
// while.
func (t *Tier) failed(err error, rest []item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.mu.retry.IsZero()
	t.mu.retry = time.Now().Add(retryPause)
	for _, it := range rest {
		t.mu.x.giveBack(it.slot)
	}
	t.mu.stats.Dropped += int64(len(rest))
	if first {
		t.log.Warn("the block cache cannot be written: reads go on without it", "dir", t.dir, "retry_in", retryPause, "err", err)
	}
}
