//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestOddKeysAreListed puts keys that are no ordinary paths: they must not
// hide a listing or crash the mount, and what is shown must be readable.
func TestOddKeysAreListed(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		put := map[string]bool{}
		for _, key := range []string{
			"plain.txt", "späce and ümlaut.mov", "emoji 🎬.mov", "new\nline", "tab\tkey", "percent%2Fkey", "plus+key",
			"quote\"'key", "back\\slash", "star*?[x]", "-dash", "trailing.", "trailing ", " leading",
			"double//slash", "/leading-slash", "dot/./inside", "dotdot/../inside", "..", ".", "marker/",
			"both", "both/child", strings.Repeat("n", 300), "long/" + strings.Repeat("d/", 100) + "deep",
			"control\x01char", "bad\xff\xfeutf8",
		} {
			if err := s.put(bucket, key, []byte(key)); err != nil {
				t.Logf("the server refuses %.40q: %.80v", key, err)
				continue
			}
			put[key] = true
		}
		listed, err := s.list(bucket, "")
		if err != nil {
			t.Fatal(err)
		}
		for key := range put {
			if _, ok := listed[key]; !ok {
				t.Logf("the server took %.40q and cannot list it", key)
				delete(put, key)
			}
		}
		if len(put) < 12 {
			t.Fatalf("the server took only %d keys", len(put))
		}
		m := mountBucket(t, s, bucket)
		found := map[string]bool{}
		err = filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			found[string(read(t, path))] = true // each object holds its key
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for key := range put {
			if !found[key] && !strings.HasSuffix(key, "/") {
				t.Errorf("%.60q is not shown", key)
			}
		}
		for _, key := range []string{"plain.txt", "späce and ümlaut.mov", "new\nline", "plus+key", "percent%2Fkey"} {
			if put[key] && string(read(t, m.path(key))) != key {
				t.Errorf("%q is not under its own name", key)
			}
		}
	})
}

// TestNamesAtTheLimit makes a file with the longest key that there is, and asks for names
// that no store would take.
func TestNamesAtTheLimit(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		deep := strings.Repeat(strings.Repeat("d", 100)+"/", 10)
		if err := os.MkdirAll(m.path(deep), 0o755); err != nil {
			t.Fatal(err)
		}
		longest := deep + strings.Repeat("f", 1024-len(deep))
		write(t, m.path(longest), []byte("bytes"))
		wantErrno(t, "create with a key of 1025 bytes", os.WriteFile(m.path(longest+"f"), nil, 0o644), syscall.ENAMETOOLONG)
		wantErrno(t, "mkdir with a key of 1025 bytes", os.Mkdir(m.path(longest[:1023]+"g"), 0o755), syscall.ENAMETOOLONG)

		const bad = "latin\xe9"
		wantErrno(t, "create", os.WriteFile(m.path(bad), nil, 0o644), syscall.EILSEQ)
		wantErrno(t, "mkdir", os.Mkdir(m.path(bad), 0o755), syscall.EILSEQ)
		wantErrno(t, "symlink", os.Symlink("target", m.path(bad)), syscall.EILSEQ)
		write(t, m.path("file"), nil)
		wantErrno(t, "rename", os.Rename(m.path("file"), m.path(bad)), syscall.EILSEQ)

		m.succeed("wait", m.dir)
		if got, err := s.get(m.bucket, longest); err != nil || string(got) != "bytes" {
			t.Errorf("the object with the longest key is %q, %v", got, err)
		}
	})
}

// TestManyNames lists a directory of several pages, and seeks in it.
func TestManyNames(t *testing.T) {
	s := embedded(t)
	bucket := s.bucket(t)
	const n = 1200 // a page has 1000
	var puts errgroup.Group
	puts.SetLimit(16)
	for i := range n {
		puts.Go(func() error { return s.put(bucket, fmt.Sprintf("dir/f%05d", i), nil) })
	}
	if err := puts.Wait(); err != nil {
		t.Fatal(err)
	}
	m := mountBucket(t, s, bucket)
	for range 2 {
		entries, err := os.ReadDir(m.path("dir"))
		if err != nil || len(entries) != n {
			t.Fatalf("%d entries, %v; want %d", len(entries), err, n)
		}
	}
	d, err := os.Open(m.path("dir"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	first, err := d.Readdirnames(100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	again, err := d.Readdirnames(100)
	if err != nil || strings.Join(first, " ") != strings.Join(again, " ") {
		t.Errorf("after rewinding: %v, %v; want %v", again, err, first)
	}
}

// TestRewinddirShowsChanges: an open directory that is read again shows what is there then.
func TestRewinddirShowsChanges(t *testing.T) {
	m := newMount(t, embedded(t))
	for _, name := range []string{"one", "two", "three"} {
		write(t, m.path(name), nil)
	}
	shell(t, "sync "+m.path("one")+" "+m.path("two"))
	dir := open(t, m.dir, os.O_RDONLY)
	names := func() string {
		t.Helper()
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		names, err := dir.Readdirnames(-1)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	if got, want := names(), "one three two"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	write(t, m.path("four"), nil)
	if err := os.Remove(m.path("one")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.path("two"), m.path("five")); err != nil {
		t.Fatal(err)
	}
	if got, want := names(), "five four three"; got != want {
		t.Errorf("behind changes: %q, want %q", got, want)
	}
}

// TestRenameDirectoryWithOpenFiles moves a directory while files below it are
// being written and read.
func TestRenameDirectoryWithOpenFiles(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		if err := os.MkdirAll(m.path("day1", "cam"), 0o755); err != nil {
			t.Fatal(err)
		}
		old := bytes.Repeat([]byte("old"), 1<<20)
		write(t, m.path("day1", "cam", "old.mov"), old)
		shell(t, "sync "+m.path("day1", "cam", "old.mov"))
		reader, err := os.Open(m.path("day1", "cam", "old.mov"))
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		writer, err := os.Create(m.path("day1", "cam", "new.mov"))
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		half := bytes.Repeat([]byte("half"), 3<<20)
		mustWrite(t, writer, half)
		if err := os.Rename(m.path("day1"), m.path("day one")); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, writer, half)
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(old))
		if _, err := reader.ReadAt(got, 0); err != nil || !bytes.Equal(got, old) {
			t.Errorf("read through the descriptor from before the rename: %v, equal %v", err, bytes.Equal(got, old))
		}
		reader.Close()
		if _, err := os.Stat(m.path("day1")); !os.IsNotExist(err) {
			t.Errorf("the old name: %v, want not exist", err)
		}
		m.remountCold()
		want := append(bytes.Clone(half), half...)
		if got := read(t, m.path("day one", "cam", "new.mov")); !bytes.Equal(got, want) {
			t.Errorf("new.mov: %d bytes that differ, want %d", len(got), len(want))
		}
		if got := read(t, m.path("day one", "cam", "old.mov")); !bytes.Equal(got, old) {
			t.Errorf("old.mov: %d bytes that differ, want %d", len(got), len(old))
		}
		eventually(t, time.Minute, func() error {
			left, err := s.list(m.bucket, "day1/")
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("still under the old name: %v", left)
			}
			return err
		})
	})
}

func mustWrite(t *testing.T, f *os.File, data []byte) {
	t.Helper()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
}
