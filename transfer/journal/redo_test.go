package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"s3mount/internal/sum"
	"s3mount/transfer/plan"
)

// afterCrash opens a copy of the directory as it is now, after harm changed it.
func afterCrash(t *testing.T, j *Journal, harm func(dir string)) *Journal {
	t.Helper()
	return open(t, crashed(t, j, harm))
}

func crashed(t *testing.T, j *Journal, harm func(dir string)) string {
	t.Helper()
	j.redo.mu.Lock()
	folding := j.redo.logs[1].folding
	j.redo.mu.Unlock()
	if folding != nil { // a copy of a database that is being written is none
		<-folding
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(j.dir)); err != nil {
		t.Fatal(err)
	}
	harm(dir)
	return dir
}

// small writes a file and its record, and does not sync the file.
func small(t *testing.T, j *Journal, id string, data []byte) Record {
	t.Helper()
	f, err := j.Spool.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Unref()
	write(t, f, data, 0)
	r := Record{ID: id, Key: "key of " + id, Extents: []plan.Extent{{Len: int64(len(data)), Kind: plan.Data}}, Sums: &Sums{}}
	r.Sums.Add(sum.Of(data))
	r.Bytes = f
	apply(t, j, []Record{r})
	r.Bytes = nil
	return r
}

func apply(t *testing.T, j *Journal, put []Record, remove ...string) {
	t.Helper()
	if err := j.Apply(put, remove...); err != nil {
		t.Fatal(err)
	}
}

func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	return p
}

// Whatever a power loss left of a spool file that was never synced, its bytes are there.
func TestLogHasTheBytesOfSmallFiles(t *testing.T) {
	for name, size := range map[string]int{"tiny": 5, "cached": 60 << 10, "direct": 100 << 10, "not aligned": 70<<10 + 3, "largest": SmallContent} {
		for what, harm := range map[string]func(path string) error{
			"nothing": func(string) error { return nil },
			"gone":    os.Remove,
			"empty":   func(path string) error { return os.Truncate(path, 0) },
			"zeros":   func(path string) error { return os.WriteFile(path, make([]byte, size), 0o600) },
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				dir := t.TempDir()
				j := open(t, dir)
				defer j.Close()
				data := noise(uint64(size), size)
				small(t, j, "one", data)
				j2 := afterCrash(t, j, func(dir string) {
					if err := harm(filepath.Join(dir, "spool", "one")); err != nil {
						t.Fatal(err)
					}
				})
				defer j2.Close()
				records, err := j2.Records()
				if err != nil || len(records) != 1 || records[0].Key != "key of one" {
					t.Fatalf("records %v, %v", records, err)
				}
				if err := j2.Verify(&records[0]); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(filepath.Join(j2.dir, "spool", "one")); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes, %v; want %d", len(got), err, size)
				}
			})
		}
	}
}

// Without the journal's work being done, recover finds the same.
func TestReadOnlySeesTheLog(t *testing.T) {
	j := open(t, t.TempDir())
	defer j.Close()
	data := noise(1, 100<<10)
	small(t, j, "lost", data)
	small(t, j, "there", data)
	small(t, j, "removed", data)
	apply(t, j, nil, "removed")
	dir := crashed(t, j, func(dir string) {
		if err := os.Remove(filepath.Join(dir, "spool", "lost")); err != nil {
			t.Fatal(err)
		}
	})
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	records, err := r.Records()
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i := range records {
		if err := r.Verify(&records[i]); err != nil {
			t.Error(err)
		}
		f, err := r.Bytes(&records[i])
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(data))
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: other bytes, %v", records[i].ID, err)
		}
		f.Close()
	}
}

// A record whose bytes were to change says nothing of them: the log must not bring the
// former ones back.
func TestLogLeavesChangedFilesAlone(t *testing.T) {
	j := open(t, t.TempDir())
	defer j.Close()
	r := small(t, j, "one", []byte("before"))
	r.Sums = nil
	apply(t, j, []Record{r})
	j2 := afterCrash(t, j, func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "spool", "one"), []byte("after!"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	defer j2.Close()
	if got, err := os.ReadFile(filepath.Join(j2.dir, "spool", "one")); err != nil || string(got) != "after!" {
		t.Errorf("%q, %v", got, err)
	}
}

// A frame that is not whole was never acknowledged: it is as if it had not begun, and
// what came before it counts.
func TestCutLog(t *testing.T) {
	j := open(t, t.TempDir())
	defer j.Close()
	small(t, j, "one", []byte("first"))
	whole := j.redo.logs[0].end
	small(t, j, "two", []byte("second"))
	end := j.redo.logs[0].end
	for name, harm := range map[string]func(path string) error{
		"shorter": func(path string) error { return os.Truncate(path, end-4096+frameHeader+20) },
		"cut off": func(path string) error { return os.Truncate(path, whole) },
		"changed": func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte{1}, whole+frameHeader+20)
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			j2 := afterCrash(t, j, func(dir string) {
				if err := harm(logPath(dir, 0)); err != nil {
					t.Fatal(err)
				}
			})
			defer j2.Close()
			if records, err := j2.Records(); err != nil || len(records) != 1 || records[0].ID != "one" {
				t.Errorf("%v, %v", records, err)
			}
		})
	}
}

// Whenever it ends, the journal has what was acknowledged, whichever of its two logs and
// the database has that.
func TestLogsTakeTurns(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 2))
		dir := t.TempDir()
		j := open(t, dir)
		j.redo.size = 256 << 10
		want := map[string][]byte{}
		for i := range 150 {
			switch id := fmt.Sprintf("f%03d", i); random.IntN(8) {
			case 0, 1, 2, 3: // with its bytes
				want[id] = noise(seed<<32+uint64(i), 1+random.IntN(20<<10))
				small(t, j, id, want[id])
			case 4: // without
				want[id] = nil
				apply(t, j, []Record{{ID: id, Key: "key of " + id}})
			case 5: // one that no log has room for
				want[id] = nil
				apply(t, j, []Record{{ID: id, Key: "key of " + id, Publication: string(bytes.Repeat([]byte("x"), 300<<10))}})
			default:
				for id := range want {
					delete(want, id)
					apply(t, j, nil, id)
					if err := j.Spool.Discard(id); err != nil && !errors.Is(err, os.ErrNotExist) {
						t.Fatal(err)
					}
					break
				}
			}
			if random.IntN(10) == 0 {
				j2 := afterCrash(t, j, func(dir string) { loseUnsynced(t, j, dir) })
				same(t, j2, want)
				if random.IntN(2) == 0 { // and again, from what it made of that
					j2 = afterCrash(t, j2, func(string) {})
					same(t, j2, want)
				}
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if _, err := os.Stat(logPath(dir, i)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("log %d after a good end: %v", i, err)
			}
		}
		same(t, open(t, dir), want)
	}
}

// loseUnsynced empties those spool files in a copy of the directory that a log still has.
func loseUnsynced(t *testing.T, j *Journal, dir string) {
	t.Helper()
	j.redo.mu.Lock()
	defer j.redo.mu.Unlock()
	for _, l := range j.redo.logs {
		for id := range maps.Keys(l.files) {
			if err := os.Truncate(filepath.Join(dir, "spool", id), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// same compares a journal with what it has to have, and closes it.
func same(t *testing.T, j *Journal, want map[string][]byte) {
	t.Helper()
	defer j.Close()
	records, err := j.Records()
	if err != nil || len(records) != len(want) {
		t.Fatalf("%d records, %v; want %d", len(records), err, len(want))
	}
	for i := range records {
		r := &records[i]
		data, ok := want[r.ID]
		if !ok {
			t.Fatalf("%s was removed", r.ID)
		}
		if data == nil {
			continue
		}
		if got, err := os.ReadFile(filepath.Join(j.dir, "spool", r.ID)); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%s has other bytes, %v", r.ID, err)
		}
	}
}

// A spool file that cannot be synced keeps its log, and its bytes with it; others go on.
func TestLogStaysWhileItIsNeeded(t *testing.T) {
	j := open(t, t.TempDir())
	j.redo.size = 64 << 10
	f, err := j.Spool.Create("bad")
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, []byte("bytes"), 0)
	r := Record{ID: "bad", Extents: []plan.Extent{{Len: 5, Kind: plan.Data}}, Sums: &Sums{}, Bytes: f}
	r.Sums.Add(sum.Of([]byte("bytes")))
	apply(t, j, []Record{r})
	f.mu.Lock()
	f.failed = errors.New("the disk failed")
	f.mu.Unlock()
	var failed error
	for i := 0; failed == nil && i < 100; i++ {
		failed = j.Apply([]Record{{ID: fmt.Sprintf("r%d", i)}})
	}
	if failed == nil {
		t.Fatal("the log was given up")
	}
	j2 := afterCrash(t, j, func(dir string) {
		if err := os.Truncate(filepath.Join(dir, "spool", "bad"), 0); err != nil {
			t.Fatal(err)
		}
	})
	defer j2.Close()
	if got, err := os.ReadFile(filepath.Join(j2.dir, "spool", "bad")); err != nil || string(got) != "bytes" {
		t.Errorf("%q, %v", got, err)
	}
	apply(t, j2, []Record{{ID: "later"}})
	f.mu.Lock()
	f.failed = nil
	f.mu.Unlock()
	apply(t, j, nil, "bad") // it is in the bucket: nobody needs its bytes
	f.Unref()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// A transaction of the database that failed may be there all the same: the next frame is
// newer than what that took note of.
func TestFailedTransactionTakesItsNumber(t *testing.T) {
	j := open(t, t.TempDir())
	defer j.Close()
	small(t, j, "one", []byte("first"))
	if err := j.redo.foldedBoth(); err != nil {
		t.Fatal(err)
	}
	db, seq := j.redo.db, j.redo.seq
	closed, err := bbolt.Open(filepath.Join(t.TempDir(), "closed"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	j.redo.db = closed
	large := Record{ID: "large", Publication: string(make([]byte, 8<<20))}
	if err := j.Apply([]Record{large}); err == nil {
		t.Fatal("a closed database took a record")
	}
	j.redo.db = db
	if err := j.redo.put(nil, seq+1); err != nil { // the disk had it
		t.Fatal(err)
	}
	small(t, j, "two", []byte("second"))
	same(t, afterCrash(t, j, func(string) {}), map[string][]byte{"one": []byte("first"), "two": []byte("second")})
}

// A directory of the version without logs is taken over, and is no longer one: that version
// would pass over them.
func TestJournalWithoutLogsIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	apply(t, j, []Record{{ID: "one"}})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "identity.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(raw, []byte(`"version": 2`), []byte(`"version": 1`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, records, err := Read(dir); err != nil || id.Version != 1 || len(records) != 1 {
		t.Errorf("%+v, %d records, %v", id, len(records), err)
	}
	same(t, open(t, dir), map[string][]byte{"one": nil})
	if id, _, err := Read(dir); err != nil || id.Version != Version {
		t.Errorf("%+v, %v", id, err)
	}
}
