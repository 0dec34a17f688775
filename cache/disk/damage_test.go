package disk

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestDamage flips bits, cuts and overwrites everywhere: what is read is right or missing.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	put(t, d, 1, seq(40)...)
	closeTest(t, d)
	data, index := load(t, dir, "data"), load(t, dir, "index")
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 48 {
		data, index := bytes.Clone(data), bytes.Clone(index)
		least := 0
		switch round % 6 {
		case 0: // one bit in the data
			data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
			least = 39
		case 1: // one bit in a record
			index[headerSize+rng.IntN(40*recordSize)] ^= 1 << rng.IntN(8)
			least = 39
		case 2: // one bit in the header
			index[rng.IntN(64)] ^= 1 << rng.IntN(8)
		case 3: // cut
			data, index = data[:rng.IntN(len(data))], index[:rng.IntN(len(index))]
		case 4: // a hole
			clear(data[rng.IntN(len(data)):])
		case 5: // records in each other's places
			a, b := headerSize+rng.IntN(40)*recordSize, headerSize+rng.IntN(40)*recordSize
			for i := range recordSize {
				index[a+i], index[b+i] = index[b+i], index[a+i]
			}
			least = 38
		}
		store(t, dir, "data", data)
		store(t, dir, "index", index)
		d := openTest(t, dir, testLimit)
		if n := readable(t, d, 1, 45); n < least {
			t.Errorf("round %d: %d blocks left, want %d", round, n, least)
		}
		put(t, d, 1, seq(40)...) // fetched again
		if n := readable(t, d, 1, 45); n != 40 {
			t.Errorf("round %d: %d blocks after they were written again", round, n)
		}
		closeTest(t, d)
	}
}

func load(t *testing.T, dir, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func store(t *testing.T, dir, name string, p []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), p, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCutAnywhere cuts the files as a power loss may: each at a place of its own, with
// data of other slots written over old ones.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, MinLimit)
	put(t, d, 1, seq(60)...)
	crash(d)
	oldData, oldIndex := load(t, dir, "data"), load(t, dir, "index")
	d = openTest(t, dir, MinLimit)
	put(t, d, 2, seq(60)...) // overwrites slots of before
	crash(d)
	newData, newIndex := load(t, dir, "data"), load(t, dir, "index")
	rng := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		a, b := rng.IntN(len(newData)), headerSize+rng.IntN(len(newIndex)-headerSize)
		if rng.IntN(2) == 0 {
			a = a / 4096 * 4096
		}
		store(t, dir, "data", mixed(newData, oldData, a))
		store(t, dir, "index", mixed(newIndex, oldIndex, b))
		d := openTest(t, dir, MinLimit)
		readable(t, d, 1, 60)
		readable(t, d, 2, 60)
		closeTest(t, d)
	}
}

// mixed has the new bytes up to a place and the old ones behind it.
func mixed(now, old []byte, at int) []byte {
	out := bytes.Clone(now[:at])
	if at < len(old) {
		out = append(out, old[at:]...)
	}
	return out
}

// TestDamageWhileOpen changes and cuts the files of a tier that is in use, as a bad disk or a
// careless clean-up does: what is read is right or missing, and the tier goes on.
func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	d := openTest(t, dir, testLimit)
	rng := rand.New(rand.NewPCG(7, 8))
	for round := range 20 {
		put(t, d, 1, seq(40)...)
		if n := readable(t, d, 1, 40); n != 40 {
			t.Fatalf("round %d: %d of 40 blocks", round, n)
		}
		name, least := "data", int64(0)
		if round%2 == 1 {
			name, least = "index", headerSize
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		at := least + rng.Int64N(info.Size()-least)
		if round%4 < 2 {
			err = f.Truncate(at)
		} else {
			_, err = f.WriteAt([]byte{1, 2, 3, 4, 5, 6, 7, 8}, at)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		readable(t, d, 1, 40)
	}
	if d.Stats().Damaged == 0 {
		t.Error("nothing was damaged")
	}
	closeTest(t, d)
	d = openTest(t, dir, testLimit)
	readable(t, d, 1, 40)
	closeTest(t, d)
}
