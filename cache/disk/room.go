package disk

import (
	"errors"
	"slices"
	"syscall"
	"time"

	"s3mount/internal/mem"
)

// grow asks the disk for room for more slots, up to the limit. The lock writing is held.
func (t *Tier) grow() {
	t.mu.Lock()
	from, wait := t.mu.allocated, t.mu.full && time.Now().Before(t.mu.retryGrow)
	t.mu.Unlock()
	n := min(growRun, t.slots-from)
	if n == 0 || wait {
		return
	}
	err := t.makeRoom(int64(from)*mem.BlockSize, int64(n)*mem.BlockSize)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.mu.full = false
		t.mu.allocated = from + n
		t.mu.x.usable = t.mu.allocated
		return
	}
	if !t.mu.full {
		t.log.Warn("the disk has no room for a larger block cache", "dir", t.dir,
			"bytes", int64(from)*mem.BlockSize, "limit", t.mu.stats.Limit, "err", err)
	}
	t.mu.full, t.mu.retryGrow = true, time.Now().Add(retryPause)
}

// makeRoom makes sure that a range of the data file can be written, and that the disk is
// not filled by it.
func (t *Tier) makeRoom(off, n int64) error {
	free, total, err := diskSpace(t.dir)
	if err != nil {
		return err
	}
	if free-n < min(total/20, spareMost) {
		return syscall.ENOSPC
	}
	err = preallocate(t.data, off, n)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil // then the write tells
	}
	return err
}

// Evict forgets n blocks of a content, from first on, also on disk and on their way there,
// and returns how many were on disk.
func (t *Tier) Evict(id ID, first, n int64) (blocks int64) {
	if t == nil {
		return 0
	}
	<-t.loaded
	id = t.real(id)
	t.writing.Lock()
	defer t.writing.Unlock()
	var slots []uint32
	var queued []item
	t.mu.Lock()
	t.mu.queue = slices.DeleteFunc(t.mu.queue, func(it item) bool {
		gone := it.id == id && it.index >= first && it.index < first+n
		if gone {
			queued = append(queued, it)
		}
		return gone
	})
	for i := range n {
		if slot, ok := t.find(id, first+i); ok {
			t.mu.x.drop(slot)
			slots = append(slots, slot)
		}
	}
	if len(slots) > 0 {
		t.mu.x.sweep()
	}
	t.mu.Unlock()
	for _, it := range queued {
		it.release()
	}
	for _, slot := range slots {
		// What stays after an error are the right bytes of that content.
		_, _ = t.index.WriteAt(make([]byte, recordSize), headerSize+int64(slot)*recordSize)
	}
	return int64(len(slots))
}

// Clear empties the tier and gives its disk space back.
func (t *Tier) Clear() error {
	if t == nil {
		return nil
	}
	<-t.loaded
	t.writing.Lock()
	defer t.writing.Unlock()
	t.Shed(1 << 62)
	t.mu.Lock()
	x := newIndex(t.slots)
	x.usable = 0
	t.mu.x, t.mu.allocated, t.mu.full = x, 0, false
	identity := t.mu.header.identity
	t.mu.Unlock()
	h, err := t.reset(identity)
	t.aliases.forget()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.header = h
	return err
}
