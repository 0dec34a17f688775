package journal

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// Files at rest have no descriptors, and are read, written and removed all the same.
func TestManySpoolFiles(t *testing.T) {
	j := open(t, t.TempDir())
	defer j.Close()
	s := j.Spool
	s.maxOpen = 8
	data := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 5000) }
	var files []*File
	for i := range 100 {
		f, err := s.Create(fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Unref()
		files = append(files, f)
		write(t, f, data(i), 0)
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if s.open > s.maxOpen {
			t.Fatalf("%d of %d files have descriptors, want %d at most", s.open, i+1, s.maxOpen)
		}
	}
	read := func(f *File, want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read: %v, right: %v", err, bytes.Equal(got, want))
		}
	}
	for i, f := range files {
		read(f, data(i))
		write(t, f, []byte("end"), 5000)
		if i%2 == 0 { // what is not synced stays open
			if f.rest() {
				t.Fatal("a file was closed that is not on the disk")
			}
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range files {
		f.Ref()
		if err := f.Remove(); err != nil {
			t.Fatal(err)
		}
		read(f, append(data(i), "end"...))
		f.Unref()
	}
}

// What waits since before the start took its room then: it takes none of what is free.
func TestSpoolOfAnEarlierProcessTakesNoFreeRoom(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	f, err := j.Spool.Create("left")
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, make([]byte, 512<<10), 0)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.Unref()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	const free = 256 << 10
	j, err = Open(Options{Dir: dir, Identity: Identity{Bucket: "b", Endpoint: "e"}, AllowVolatile: true, SpoolFree: free})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if used := j.Spool.Used(); used < 512<<10 || j.Spool.Limit() != used+free {
		t.Errorf("%d bytes used, the limit is %d", used, j.Spool.Limit())
	}
	if f, err = j.Spool.Create("next"); err != nil {
		t.Fatal(err)
	}
	defer f.Unref()
	write(t, f, make([]byte, free), 0)
	if err := f.Reserve(1); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("beyond the limit: %v", err)
	}
}

func write(t *testing.T, f *File, p []byte, off int64) {
	t.Helper()
	if err := f.Reserve(int64(len(p))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
}
