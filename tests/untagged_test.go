//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFilesThatTheServerFound writes into the directory behind versitygw, which gives such
// files no ETag: changes are seen, no read is a mix, and an edit replaces nothing else than
// what it was made of.
func TestFilesThatTheServerFound(t *testing.T) {
	s := embedded(t)
	bucket := s.bucket(t)
	version := func(fill byte, year int) []byte {
		t.Helper()
		data := bytes.Repeat([]byte{fill}, 3_000_000)
		path := filepath.Join(world.dir, "gateway", "objects", bucket, "found.mov")
		write(t, path+".new", data)
		at := time.Date(year, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
		if err := os.Chtimes(path+".new", at, at); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		return data
	}
	want := version('a', 2020)
	m := mountBucket(t, s, bucket, "--list-ttl=50ms", "--memory=64MiB")
	path := m.path("found.mov")
	shows := func() error {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%d bytes, the first %q, the last %q: %v", len(got), got[:min(1, len(got))], got[max(0, len(got)-1):], err)
		}
		return nil
	}
	eventually(t, 10*time.Second, shows)
	f := open(t, path, os.O_RDONLY)
	defer f.Close()
	old, first := want, make([]byte, 1000)
	if _, err := f.ReadAt(first, 0); err != nil {
		t.Fatal(err)
	}
	want = version('b', 2021)
	for off := int64(0); off < int64(len(old)); off += 500_000 {
		if n, _ := f.ReadAt(first, off); bytes.ContainsRune(first[:n], 'b') {
			t.Errorf("the old version has bytes of the new one at %d", off)
		}
	}
	eventually(t, 10*time.Second, shows)

	edit := open(t, path, os.O_RDWR)
	if _, err := edit.WriteAt([]byte("edited"), 0); err != nil {
		t.Fatal(err)
	}
	version('c', 2022)
	if err := edit.Close(); err != nil {
		t.Fatal(err)
	}
	m.succeed("wait", m.dir)
	want = append([]byte("edited"), want[6:]...)
	eventually(t, 10*time.Second, shows)
	if got, err := s.get(bucket, "found.mov"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object is not the edited version: %v", err)
	}
	names, err := filepath.Glob(m.path("found (conflict *).mov"))
	if err != nil || len(names) != 1 {
		t.Fatalf("conflict copies %q, %v", names, err)
	}
	if got := read(t, names[0]); !bytes.Equal(got, bytes.Repeat([]byte{'c'}, 3_000_000)) {
		t.Errorf("the conflict copy begins with %q", got[:min(6, len(got))])
	}
}
