package disk

import (
	"testing"

	"s3mount/internal/mem"
)

// TestWantedBlocksStay: what was wanted when it was there already stays through scans and a
// crash, like what was written as wanted.
func TestWantedBlocksStay(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	scan := func(id byte) {
		for i := range byte(10) {
			put(t, d, id+i, seq(testLimit/mem.BlockSize/2)...)
		}
	}
	put(t, d, 1, seq(40)...)
	d.Want(ID{1}, 0, 50)
	for i := range int64(20) {
		if !d.Write(ID{2}, i, block(2, i)) {
			t.Fatal("not written")
		}
	}
	crash(d)
	d = openTest(t, dir, testLimit)
	for round := range byte(3) {
		scan(10 + round*10)
		for id, want := range map[byte]int64{1: 40, 2: 20} {
			if run, there := d.Run(ID{id}, 0, want); run != want || !there {
				t.Errorf("round %d: %d of %d wanted blocks are there: %v", round, run, want, there)
			}
		}
	}
	closeTest(t, d)
}

// TestWantedBlocksPushOutOthers: blocks that were read are given up for those that are wanted,
// also when they were read after those came.
func TestWantedBlocksPushOutOthers(t *testing.T) {
	d := openTest(t, t.TempDir(), testLimit)
	for i := range int64(d.slots) {
		d.Add(ID{1}, i, block(1, i))
	}
	want := int64(d.slots) * 9 / 10
	for i := range want {
		if i%(want/2) == 0 {
			readable(t, d, 1, int64(d.slots))
		}
		if !d.Write(ID{2}, i, block(2, i)) {
			t.Fatal("not written")
		}
	}
	if run, there := d.Run(ID{2}, 0, want); run != want || !there {
		t.Errorf("%d of %d blocks are there: %v", run, want, there)
	}
	closeTest(t, d)
}
