package disk

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"s3mount/internal/mem"
)

const testLimit = 32 << 20

func openTest(t *testing.T, dir string, limit int64) *Tier {
	t.Helper()
	d, err := Open(Options{Dir: dir, Identity: "a bucket", Limit: limit, Queue: 256})
	if err != nil {
		t.Fatal(err)
	}
	<-d.loaded
	return d
}

func closeTest(t *testing.T, d *Tier) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// crash ends a tier as kill -9 does: nothing more is written.
func crash(d *Tier) {
	d.mu.Lock()
	d.mu.closed, d.mu.queue = true, nil
	d.mu.Unlock()
	d.signal()
	d.wg.Wait()
	d.data.Close()
	d.index.Close()
	if d.direct != nil {
		d.direct.Close()
	}
}

// block is what block i of a content has to be; every seventh is a short last one.
func block(id byte, i int64) []byte {
	n := mem.BlockSize
	if i%7 == 6 {
		n = 1000
	}
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{id, byte(i), byte(i >> 8)}).Read(p)
	return p
}

// put offers blocks and waits until they were written or given up.
func put(t *testing.T, d *Tier, id byte, blocks ...int64) {
	t.Helper()
	var done sync.WaitGroup
	for _, i := range blocks {
		done.Add(1)
		if !d.Offer(ID{id}, i, block(id, i), done.Done) {
			done.Done()
		}
	}
	done.Wait()
}

func seq(n int64) (out []int64) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

// readable counts the blocks below n that are there. A wrong byte ends the test.
func readable(t *testing.T, d *Tier, id byte, n int64) (found int) {
	t.Helper()
	for i := range n {
		want := block(id, i)
		got := make([]byte, len(want))
		if !d.Read(ID{id}, i, got) {
			continue
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("block %d of content %d has wrong bytes", i, id)
		}
		found++
	}
	return found
}

func TestBlocksSurviveCloseAndCrash(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	put(t, d, 1, seq(50)...)
	if run, there := d.Run(ID{1}, 0, 80); run != 50 || !there {
		t.Errorf("%d blocks there %v, want 50", run, there)
	}
	if run, there := d.Run(ID{1}, 50, 30); run != 30 || there {
		t.Errorf("%d blocks there %v, want 30 not", run, there)
	}
	closeTest(t, d)
	d = openTest(t, dir, testLimit)
	put(t, d, 2, seq(10)...)
	crash(d)
	d = openTest(t, dir, testLimit)
	if a, b := readable(t, d, 1, 60), readable(t, d, 2, 20); a != 50 || b != 10 {
		t.Errorf("%d and %d blocks after a restart, want 50 and 10", a, b)
	}
	if d.Read(ID{1}, 3, make([]byte, 5)) {
		t.Error("a block of another length was returned")
	}
	closeTest(t, d)
}

// TestLimit writes ten times what fits: the files never become larger.
func TestLimit(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	for id := range byte(20) {
		put(t, d, id, seq(testLimit/mem.BlockSize/2)...)
		if n := onDisk(t, dir); n > testLimit {
			t.Fatalf("%d bytes on disk, the limit is %d", n, testLimit)
		}
	}
	s := d.Stats()
	if s.Evicted == 0 || s.Blocks*mem.BlockSize > testLimit || s.Blocks < testLimit/mem.BlockSize*9/10 {
		t.Errorf("after ten times the limit: %+v", s)
	}
	closeTest(t, d)
	d = openTest(t, dir, MinLimit) // a lower limit holds at once
	if n := onDisk(t, dir); n > MinLimit {
		t.Errorf("%d bytes on disk, the limit is %d now", n, MinLimit)
	}
	closeTest(t, d)
}

func onDisk(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, name := range []string{"data", "index", "aliases"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// TestWhatWasUsedSurvives: what was read again stays through a scan, a crash, and a scan.
func TestWhatWasUsedSurvives(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	put(t, d, 1, seq(60)...)
	readable(t, d, 1, 60)
	scan := func(id byte) {
		for i := range byte(10) {
			put(t, d, id+i, seq(testLimit/mem.BlockSize/2)...)
		}
	}
	scan(2)
	crash(d)
	d = openTest(t, dir, testLimit)
	scan(20)
	if n := readable(t, d, 1, 60); n < 58 {
		t.Errorf("%d of 60 blocks left", n)
	}
	closeTest(t, d)
}

func TestOneProcessOneBucket(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	if _, err := Open(Options{Dir: dir, Identity: "a bucket", Limit: testLimit}); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
	put(t, d, 1, seq(5)...)
	closeTest(t, d)
	d, err := Open(Options{Dir: dir, Identity: "another bucket", Limit: testLimit})
	if err != nil {
		t.Fatal(err)
	}
	<-d.loaded
	if n := readable(t, d, 1, 5); n != 0 || d.Stats().Blocks != 0 {
		t.Errorf("%d blocks of another bucket", n)
	}
	closeTest(t, d)
}

func TestMisplacedIsSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blocks")
	if err := os.WriteFile(dir, []byte("a file of somebody"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := openTest(t, dir, testLimit)
	put(t, d, 1, 0)
	if n := readable(t, d, 1, 1); n != 1 {
		t.Error("block not kept")
	}
	closeTest(t, d)
	if aside, err := filepath.Glob(dir + ".aside-*"); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
}

// TestFullDisk writes to a device that has no room.
func TestFullDisk(t *testing.T) {
	d := openTest(t, t.TempDir(), testLimit)
	put(t, d, 1, seq(10)...)
	real, direct := d.data, d.direct
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	d.writing.Lock()
	d.data, d.direct = full, nil
	d.writing.Unlock()
	put(t, d, 2, seq(10)...)
	d.writing.Lock()
	d.data, d.direct = real, direct
	d.writing.Unlock()
	full.Close()
	if n := readable(t, d, 2, 10); n != 0 {
		t.Errorf("%d blocks that were not written", n)
	}
	if n := readable(t, d, 1, 10); n != 10 {
		t.Errorf("%d of 10 blocks left of before", n)
	}
	if d.Offer(ID{2}, 0, block(2, 0), func() {}) {
		t.Error("writes again at once")
	}
	d.mu.Lock()
	d.mu.retry = time.Now() // the pause is over
	d.mu.Unlock()
	put(t, d, 2, seq(10)...)
	if n := readable(t, d, 2, 10); n != 10 {
		t.Errorf("%d of 10 blocks written afterwards", n)
	}
	closeTest(t, d)
}

func TestEvictAndClear(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	put(t, d, 1, seq(20)...)
	put(t, d, 2, seq(20)...)
	if n := d.Evict(ID{1}, 0, 100); n != 20 {
		t.Errorf("%d blocks evicted, want 20", n)
	}
	crash(d)
	d = openTest(t, dir, testLimit)
	if a, b := readable(t, d, 1, 20), readable(t, d, 2, 20); a != 0 || b != 20 {
		t.Errorf("%d and %d blocks after one was evicted, want 0 and 20", a, b)
	}
	if err := d.Clear(); err != nil {
		t.Fatal(err)
	}
	if n := readable(t, d, 2, 20); n != 0 || onDisk(t, dir) > headerSize {
		t.Errorf("%d blocks, %d bytes after Clear", n, onDisk(t, dir))
	}
	put(t, d, 3, seq(20)...)
	if !d.Write(ID{3}, 20, block(3, 20)) || readable(t, d, 3, 21) != 21 {
		t.Error("nothing is kept after Clear")
	}
	closeTest(t, d)
}

// TestQueueIsBounded offers more than the disk takes: the rest is refused, not waited for.
func TestQueueIsBounded(t *testing.T) {
	d := openTest(t, t.TempDir(), testLimit)
	d.writing.Lock() // the disk stands still
	taken, released := 0, make(chan int, 1000)
	for i := range int64(1000) {
		if d.Offer(ID{1}, i, block(1, i), func() { released <- 1 }) {
			taken++
		}
	}
	if taken < 256 || taken > 256+writeRun {
		t.Errorf("%d blocks taken, the queue has 256", taken)
	}
	if n := d.Shed(10 * mem.BlockSize); n != 10*mem.BlockSize || len(released) != 10 {
		t.Errorf("shed %d bytes, %d released", n, len(released))
	}
	d.writing.Unlock()
	closeTest(t, d)
	if len(released) != taken {
		t.Errorf("%d of %d released", len(released), taken)
	}
}

// TestManyAtOnce reads, writes, evicts and clears side by side.
func TestManyAtOnce(t *testing.T) {
	d := openTest(t, t.TempDir(), MinLimit)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for ctx.Err() == nil {
				id, i := byte(rng.IntN(3)), int64(rng.IntN(60))
				switch rng.IntN(200) {
				case 0:
					if err := d.Clear(); err != nil {
						t.Error(err)
					}
				case 1:
					d.Evict(ID{id}, 0, 60)
				case 2:
					d.Shed(mem.BlockSize)
				default:
					want := block(id, i)
					d.Prepare(ID{id}, i, 5)
					if got := make([]byte, len(want)); !d.Read(ID{id}, i, got) {
						d.Offer(ID{id}, i, want, func() {})
					} else if !bytes.Equal(got, want) {
						t.Errorf("block %d of %d is wrong", i, id)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := d.Stats().Damaged; n != 0 {
		t.Errorf("%d blocks taken for damaged", n)
	}
	closeTest(t, d)
}

// TestAlignedBlocks writes blocks from memory of the arena, as the mount does, short and
// whole ones side by side: those go past the page cache.
func TestAlignedBlocks(t *testing.T) {
	dir := t.TempDir()
	arena := mem.NewArena()
	defer arena.Close()
	d := openTest(t, dir, testLimit)
	var done sync.WaitGroup
	for i := range int64(40) {
		p := arena.Get()
		n := copy(p, block(1, i))
		done.Add(1)
		if !d.Offer(ID{1}, i, p[:n], func() { arena.Put(p); done.Done() }) {
			t.Fatal("not taken")
		}
	}
	done.Wait()
	if n := readable(t, d, 1, 45); n != 40 {
		t.Errorf("%d blocks, want 40", n)
	}
	crash(d)
	d = openTest(t, dir, testLimit)
	if n := readable(t, d, 1, 45); n != 40 {
		t.Errorf("%d blocks after a crash, want 40", n)
	}
	closeTest(t, d)
}
