package journal

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"s3mount/internal/mem"
)

// TestWriteBehind writes in every manner, in order and not, and compares with a
// plain buffer what ReadAt, a Reader and the file on disk say.
func TestWriteBehind(t *testing.T) {
	for seed := range uint64(9) {
		testWriteBehind(t, seed)
	}
}

func testWriteBehind(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	budget, arena := mem.New([]int64{4 << 20, 1 << 20, 64 << 20}[seed%3]), mem.NewArena()
	dir := t.TempDir()
	j, err := Open(Options{Dir: dir, AllowVolatile: true, SpoolLimit: 1 << 30, Budget: budget, Arena: arena})
	if err != nil {
		t.Fatal(err)
	}
	f, err := j.Spool.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	pos := 0
	for range 40 {
		switch k := rng.IntN(20); {
		case k == 0:
			pos = rng.IntN(len(want) + 1) // somewhere else
		case k == 1:
			pos = rng.IntN(len(want)+1) / directAlign * directAlign
		case k == 2:
			size := rng.IntN(len(want) + 1)
			if err := f.Truncate(int64(size)); err != nil {
				t.Fatal(err)
			}
			want = want[:size]
			pos = size
		case k == 3:
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		case k == 4 && len(want) > 0:
			off, n := rng.IntN(len(want)), 1+rng.IntN(1<<20)
			checkRange(t, f, want, off, min(n, len(want)-off))
		case k == 5 && len(want) > 0:
			off := rng.IntN(len(want))
			n := min(1+rng.IntN(1<<20), len(want)-off)
			if err := f.Punch(int64(off), int64(n)); err != nil {
				t.Fatal(err)
			}
			clear(want[off : off+n])
		default:
			p := make([]byte, []int{100, 4096, 32 << 10, 128 << 10, 256 << 10, 1 << 20, 3 << 20}[rng.IntN(7)])
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
			if n, err := f.WriteAt(p, int64(pos)); n != len(p) || err != nil {
				t.Fatalf("seed %d: write: %d, %v", seed, n, err)
			}
			if end := pos + len(p); end > len(want) {
				want = append(want, make([]byte, end-len(want))...)
			}
			copy(want[pos:], p)
			pos += len(p)
		}
	}
	checkRange(t, f, want, 0, len(want))
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "spool", "x")); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("seed %d: the file on disk has %d bytes, want %d: %v", seed, len(got), len(want), err)
	}
	f.Unref()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if budget.Used() != 0 || arena.InUse() != 0 {
		t.Fatalf("seed %d: %d bytes leased and %d in use at the end", seed, budget.Used(), arena.InUse())
	}
	arena.Close()
}

func checkRange(t *testing.T, f *File, want []byte, off, n int) {
	t.Helper()
	got := make([]byte, n)
	if k, err := f.ReadAt(got, int64(off)); k != n || err != nil || !bytes.Equal(got, want[off:off+n]) {
		t.Fatalf("ReadAt [%d, +%d): %d, %v, or other bytes", off, n, k, err)
	}
	r := f.NewReader(int64(off), int64(n))
	defer r.Close()
	for range 2 {
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want[off:off+n]) {
			t.Fatalf("reader of [%d, +%d): %d bytes, %v, or other bytes", off, n, len(got), err)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var all bytes.Buffer
		if _, err := r.WriteTo(&all); err != nil || !bytes.Equal(all.Bytes(), want[off:off+n]) {
			t.Fatalf("WriteTo of [%d, +%d): %d bytes, %v, or other bytes", off, n, all.Len(), err)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCloseWhileWriting: what was not synced is lost, its memory is not.
func TestCloseWhileWriting(t *testing.T) {
	budget, arena := mem.New(16<<20), mem.NewArena()
	j, err := Open(Options{Dir: t.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30, Budget: budget, Arena: arena})
	if err != nil {
		t.Fatal(err)
	}
	f, err := j.Spool.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 5<<20+777), 0); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 1<<20), 5<<20+777); err == nil {
		t.Error("a write after Close succeeded")
	}
	if budget.Used() != 0 {
		t.Errorf("%d bytes leased after Close", budget.Used())
	}
	arena.Close()
}

// TestDiskFull: a run that does not fit is written when there is room again.
func TestDiskFull(t *testing.T) {
	j, err := Open(Options{Dir: t.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	f, err := j.Spool.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Unref()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no /dev/full to play the full disk: ", err)
	}
	defer full.Close()
	if f.fds.direct == nil {
		t.Skip("the disk of the temporary directory has no direct I/O")
	}
	disk := f.fds.direct
	f.fds.direct = full
	data := bytes.Repeat([]byte("abcdefgh"), 3<<20/8)
	_, err = f.WriteAt(data, 0) // may return before the disk is asked
	if serr := f.Sync(); err == nil && serr == nil {
		t.Fatal("neither write nor sync tell of the full disk")
	}
	f.mu.Lock()
	f.fds.direct = disk
	f.mu.Unlock()
	if err := f.Sync(); err != nil {
		t.Fatalf("sync when there is room again: %v", err)
	}
	checkRange(t, f, data, 0, 1<<20)
}

// TestSyncCoversWhatComesLate: what reaches the file after a Sync began is for the
// next one, also when it was written before.
func TestSyncCoversWhatComesLate(t *testing.T) {
	j, err := Open(Options{Dir: t.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	f, err := j.Spool.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Unref()
	change := map[string]func() error{
		"run": func() error {
			if _, err := f.WriteAt(make([]byte, 1<<18), 0); err != nil {
				return err
			}
			f.mu.Lock()
			f.unsynced = false // a Sync that saw nothing in the file yet begins here
			f.mu.Unlock()
			return f.settle(0, wholeFile)
		},
		"cached":   func() error { _, err := f.WriteAt([]byte("abc"), 1); return err },
		"punch":    func() error { return f.Punch(4096, 4096) },
		"truncate": func() error { return f.Truncate(100) },
	}
	for _, name := range []string{"run", "cached", "punch", "truncate"} {
		if err := change[name](); err != nil {
			t.Fatal(name, err)
		}
		if !f.unsynced {
			t.Errorf("%s: the next Sync would do nothing", name)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(name, err)
		}
		if f.unsynced {
			t.Errorf("%s: nothing was synced", name)
		}
	}
}

// TestDiskFullForEver: the memory of what never reached the disk comes back.
func TestDiskFullForEver(t *testing.T) {
	budget, arena := mem.New(16<<20), mem.NewArena()
	j, err := Open(Options{Dir: t.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30, Budget: budget, Arena: arena})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	f, err := j.Spool.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no /dev/full to play the full disk: ", err)
	}
	if f.fds.direct == nil {
		t.Skip("the disk of the temporary directory has no direct I/O")
	}
	f.fds.direct.Close()
	f.fds.direct = full
	_, err = f.WriteAt(make([]byte, 3<<20), 0)
	if serr := f.Sync(); err == nil && serr == nil {
		t.Fatal("neither write nor sync tell of the full disk")
	}
	f.Unref()
	if budget.Used() != 0 || arena.InUse() != 0 {
		t.Errorf("%d bytes leased and %d in use at the end", budget.Used(), arena.InUse())
	}
}

// TestReadWhileTheDiskIsFull: what is in the file can be read, and sent, while later
// bytes wait for room.
func TestReadWhileTheDiskIsFull(t *testing.T) {
	j, err := Open(Options{Dir: t.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	f, err := j.Spool.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Unref()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no /dev/full to play the full disk: ", err)
	}
	if f.fds.direct == nil {
		t.Skip("the disk of the temporary directory has no direct I/O")
	}
	data := bytes.Repeat([]byte("abcdefgh"), 3<<20/8)
	if _, err := f.WriteAt(data[:2<<20], 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	defer f.fds.direct.Close()
	f.mu.Lock()
	f.fds.direct, f.uncached = full, 0 // it takes nothing; reads go through the page cache
	f.mu.Unlock()
	_, _ = f.WriteAt(data[2<<20:], 2<<20) // may return before the disk is asked
	if err := f.Sync(); err == nil {
		t.Fatal("sync does not tell of the full disk")
	}
	checkRange(t, f, data, 1<<20, 1<<19)
	if _, err := f.ReadAt(make([]byte, 100), 2<<20); err == nil {
		t.Error("bytes were read that are not in the file")
	}
}

// TestSpoolFileGrowsBeforeItIsOpened: the disk takes more for a file of an earlier
// process, when its bytes get there, than it had said.
func TestSpoolFileGrowsBeforeItIsOpened(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "spool", "x")
	if err := os.WriteFile(path, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := Open(Options{Dir: dir, AllowVolatile: true, SpoolLimit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := os.WriteFile(path, make([]byte, 1<<17), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.Spool.Discard("x"); err != nil {
		t.Fatal(err)
	}
	if used := j.Spool.Used(); used != 0 {
		t.Errorf("%d bytes are booked for nothing", used)
	}
}
