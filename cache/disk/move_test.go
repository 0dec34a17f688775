package disk

import (
	"bytes"
	"os"
	"testing"
)

// holds counts the blocks of a content that are read right, with the bytes of block(seed, i).
func holds(t *testing.T, d *Tier, id ID, seed byte, n int64) (there int64) {
	t.Helper()
	for i := range n {
		want := block(seed, i)
		p := make([]byte, len(want))
		if !d.Read(id, i, p) {
			continue
		}
		if !bytes.Equal(p, want) {
			t.Fatalf("block %d has other bytes", i)
		}
		there++
	}
	return there
}

// TestMove: blocks are found under the other name alone, also after a crash, and what the
// other has already stays.
func TestMove(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	from, to := ID{1}, ID{2}
	for i := range int64(20) {
		d.Add(from, i, block(1, i))
	}
	d.Add(to, 5, block(1, 5))
	d.Move(from, to, 2, 10)
	check := func(when string) {
		t.Helper()
		if a, b := holds(t, d, from, 1, 20), holds(t, d, to, 1, 20); a != 10 || b != 10 {
			t.Errorf("%s: %d blocks under the first name, %d under the other, want 10 of each", when, a, b)
		}
		if s := d.Stats(); s.Damaged != 0 || s.Blocks != 20 {
			t.Errorf("%s: %+v", when, s)
		}
	}
	check("moved")
	crash(d)
	d = openTest(t, dir, testLimit)
	check("after a crash")
	for i := range int64(400) { // slots that were moved are given up like others
		d.Add(ID{3}, i, block(3, i))
	}
	holds(t, d, to, 1, 20)
	if n := holds(t, d, ID{3}, 3, 400); n < 50 {
		t.Errorf("%d blocks of what came later are there", n)
	}
	closeTest(t, d)
}

// TestMoveOnTheWay: a block that waits to be written is written under the other name.
func TestMoveOnTheWay(t *testing.T) {
	d := openTest(t, t.TempDir(), testLimit)
	p := block(1, 0)
	done := make(chan struct{})
	d.writing.Lock()
	d.Offer(ID{1}, 0, p, func() { close(done) })
	d.writing.Unlock()
	d.Move(ID{1}, ID{2}, 0, 1)
	<-done
	if a, b := holds(t, d, ID{1}, 1, 1), holds(t, d, ID{2}, 1, 1); a != 0 || b != 1 {
		t.Errorf("%d blocks under the first name, %d under the other", a, b)
	}
	closeTest(t, d)
}

// TestOwn: an object and its copy share blocks.
func TestOwn(t *testing.T) {
	d := openTest(t, t.TempDir(), testLimit)
	d.Alias(ID{2}, ID{1})
	for id, want := range map[byte]bool{1: false, 2: false, 3: true} {
		if got := d.Own(ID{id}); got != want {
			t.Errorf("content %d: %v", id, got)
		}
	}
	closeTest(t, d)
}

// TestMoveOfDamagedRecords: a block whose record cannot be read is given up, and its slot is
// used again.
func TestMoveOfDamagedRecords(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	for i := range int64(6) {
		d.Add(ID{1}, i, block(1, i))
	}
	if err := os.Truncate(d.index.Name(), headerSize+3*recordSize+10); err != nil {
		t.Fatal(err)
	}
	d.Move(ID{1}, ID{2}, 0, 6)
	if a, b := holds(t, d, ID{1}, 1, 6), holds(t, d, ID{2}, 1, 6); a != 0 || b != 3 {
		t.Errorf("%d blocks under the first name, %d under the other", a, b)
	}
	for i := range int64(300) {
		d.Add(ID{3}, i, block(3, i))
	}
	closeTest(t, d)
	d = openTest(t, dir, testLimit)
	if n := holds(t, d, ID{3}, 3, 300); n < 100 {
		t.Errorf("%d blocks of what came later are there", n)
	}
	closeTest(t, d)
}
