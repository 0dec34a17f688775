package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"s3mount/internal/sum"
	"s3mount/transfer/plan"
)

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(Options{Dir: dir, Identity: Identity{Bucket: "b", Endpoint: "e"}, AllowVolatile: true, SpoolLimit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestRecordsSurvive(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			r := Record{ID: fmt.Sprintf("%032d", i), Seq: uint64(i), Key: "k", Extents: []plan.Extent{{Off: 0, Len: 5, Kind: plan.Data}}}
			if err := j.Apply([]Record{r}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if err := j.Apply(nil, fmt.Sprintf("%032d", 7)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir)
	defer j.Close()
	got, err := j.Records()
	if err != nil || len(got) != 49 || got[7].Seq != 8 || got[0].Extents[0].Kind != plan.Data {
		t.Fatalf("records %v, %v", got, err)
	}
}

func TestOneProcessOneBucket(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if _, err := Open(Options{Dir: dir, AllowVolatile: true}); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
	j.Close()
	if _, err := Open(Options{Dir: dir, AllowVolatile: true, Identity: Identity{Bucket: "other"}}); !errors.Is(err, ErrForeign) {
		t.Errorf("other bucket: %v, want ErrForeign", err)
	}
}

// TestWhatIsNoJournalStays: neither that of another version nor a damaged one is changed.
func TestWhatIsNoJournalStays(t *testing.T) {
	for _, c := range []struct {
		file, content string
		want          error
	}{
		{"identity.json", `{"version": 2}`, ErrFormat},
		{"identity.json", `{"vers`, ErrBroken},
		{"journal.db", strings.Repeat("x", 20_000), ErrBroken},
		{"journal.db", "cut", ErrBroken},
	} {
		dir := t.TempDir()
		open(t, dir).Close()
		path := filepath.Join(dir, c.file)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir, AllowVolatile: true}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Open with %s %.10q: %v, want %v and the path", c.file, c.content, err, c.want)
		}
		if _, err := OpenReadOnly(dir); !errors.Is(err, c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("OpenReadOnly with %s %.10q: %v, want %v and the path", c.file, c.content, err, c.want)
		}
		if raw, err := os.ReadFile(path); err != nil || string(raw) != c.content {
			t.Errorf("%s was changed: %d bytes, %v", c.file, len(raw), err)
		}
	}
}

// Records of earlier versions have CRC64NVME alone, and are held to it.
func TestVerifyOfAnEarlierRecord(t *testing.T) {
	data := []byte("closed by an earlier version")
	r := Record{Extents: []plan.Extent{{Len: int64(len(data)), Kind: plan.Data}}, Sums: &Sums{}}
	r.Sums.Add(sum.Of(data))
	r.Sums.CRC32C = nil
	if err := r.Verify(bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
	data[3]++
	if err := r.Verify(bytes.NewReader(data)); !errors.Is(err, ErrDamaged) {
		t.Errorf("other bytes: %v", err)
	}
}

func TestSpoolLimitAndReferences(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	defer j.Close()
	f, err := j.Spool.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Reserve(1 << 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Reserve(1); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := f.WriteAt([]byte("hello"), 3); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.Ref()
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	f.Unref()
	buf := make([]byte, 10)
	if n, err := f.ReadAt(buf, 0); n != 10 || err != nil || string(buf) != "\x00\x00\x00hello\x00\x00" {
		t.Errorf("read %q %d %v", buf, n, err)
	}
	f.Unref()
	if got := j.Spool.Used(); got != 0 {
		t.Errorf("%d bytes still booked", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "spool", "x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("spool file left: %v", err)
	}
}

// A reboot empties memory file systems: they are refused unless asked for.
func TestMemoryFileSystemIsRefused(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		t.Skip("no memory file system: ", err)
	}
	defer os.RemoveAll(dir)
	if volatile, err := onMemory(dir); err != nil || !volatile {
		t.Skipf("/dev/shm is none: %v, %v", volatile, err)
	}
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrVolatile) {
		t.Errorf("open: %v, want ErrVolatile", err)
	}
	j, err := Open(Options{Dir: dir, AllowVolatile: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
