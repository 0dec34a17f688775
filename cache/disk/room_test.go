package disk

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"s3mount/internal/mem"
)

// TestAliasesStayInTheLimit: the file of aliases counts too, and they survive a clear.
func TestAliasesStayInTheLimit(t *testing.T) {
	const limit = headerSize + 64*(mem.BlockSize+recordSize) // 64 slots, and nothing else
	dir := t.TempDir()
	d := openTest(t, dir, limit)
	put(t, d, 1, 0, 1, 2, 3, 4, 5)
	for i := range int64(100) {
		d.Write(ID{4}, i, block(0, 0)) // all of them whole
	}
	for i := range 1000 {
		d.Alias(ID{2, byte(i), byte(i >> 8)}, ID{1})
	}
	if n := onDisk(t, dir); n > limit {
		t.Errorf("%d bytes on disk, the limit is %d", n, limit)
	}
	if err := d.Clear(); err != nil {
		t.Fatal(err)
	}
	d.Alias(ID{3}, ID{1})
	put(t, d, 1, 0)
	crash(d)
	d = openTest(t, dir, limit)
	if _, there := d.Run(ID{3}, 0, 1); !there {
		t.Error("an alias that was made after a clear is lost")
	}
	closeTest(t, d)
}

// TestAliasesWithoutAFile: where their file cannot be written, no more are remembered.
func TestAliasesWithoutAFile(t *testing.T) {
	d := openTest(t, t.TempDir(), MinLimit)
	d.aliases.close()
	d.aliases.file = nil
	for i := range 1000 {
		d.Alias(ID{2, byte(i), byte(i >> 8)}, ID{1})
	}
	if n := len(d.aliases.ids); n > int(d.slots) {
		t.Errorf("%d aliases for %d slots", n, d.slots)
	}
	closeTest(t, d)
}

// TestEvictReachesTheQueue evicts what waits to be written.
func TestEvictReachesTheQueue(t *testing.T) {
	d := openTest(t, t.TempDir(), testLimit)
	d.mu.Lock() // the writer is not woken
	var released atomic.Int32
	for i := range int64(10) {
		for id := range byte(2) {
			d.mu.queue = append(d.mu.queue, item{id: ID{id}, index: i, data: block(id, i), release: func() { released.Add(1) }})
		}
	}
	d.mu.Unlock()
	d.Evict(ID{1}, 0, 10)
	if n := released.Load(); n != 10 {
		t.Errorf("%d blocks released, want those that were evicted", n)
	}
	d.signal()
	for d.Stats().Blocks < 10 {
		time.Sleep(time.Millisecond)
	}
	if n := readable(t, d, 1, 10); n != 0 {
		t.Errorf("%d blocks were written after they had been evicted", n)
	}
	if n := readable(t, d, 0, 10); n != 10 {
		t.Errorf("%d of 10 blocks of another content", n)
	}
	closeTest(t, d)
}

// TestLowerLimitGivesBackWhatIsReserved opens a directory with a lower limit than the room
// that was reserved on the disk, of which little was used.
func TestLowerLimitGivesBackWhatIsReserved(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, 48<<20)
	put(t, d, 1, seq(6)...)
	closeTest(t, d)
	taken := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "data"))
		if err != nil {
			t.Fatal(err)
		}
		return occupied(info)
	}
	if taken() <= MinLimit {
		t.Skip("the file system reserves nothing")
	}
	d = openTest(t, dir, MinLimit)
	if n := taken(); n > MinLimit {
		t.Errorf("%d bytes on disk, the limit is %d", n, MinLimit)
	}
	if n := readable(t, d, 1, 6); n != 6 {
		t.Errorf("%d of 6 blocks left", n)
	}
	closeTest(t, d)
}

// A limit that no disk has is that of the disk: it costs no memory beyond.
func TestLimitBeyondTheDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "blocks")
	d := openTest(t, dir, 100<<50)
	defer closeTest(t, d)
	_, total, err := diskSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Stats().Limit; got > total {
		t.Errorf("the limit is %d bytes, of a disk of %d", got, total)
	}
}
