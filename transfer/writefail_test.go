//go:build linux

package transfer

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// limitFiles lets no file be written behind n bytes, like a disk that is full from
// there on, until it is called again.
func limitFiles(t *testing.T, n uint64) (again func()) {
	t.Helper()
	var old syscall.Rlimit
	check(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	check(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: old.Max}))
	return func() { check(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)) }
}

// A write that the disk takes in part counts as far as it went: what is read, what is
// sent and the checksums are the same bytes, and no room stays booked for the rest.
func TestWriteThatTheDiskTakesInPart(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	const limit = 21 << 20
	for name, prepare := range map[string]func(g *writeRig, f *File) []byte{
		"over bytes that were sent": func(g *writeRig, f *File) []byte {
			data := writePattern(1, 24<<20)
			g.write(f, data, 0)
			time.Sleep(time.Minute)
			return data
		},
		"into a hole": func(g *writeRig, f *File) []byte {
			data := writePattern(1, 24<<20)
			clear(data[20<<20 : 23<<20])
			g.write(f, data[:20<<20], 0)
			g.write(f, data[23<<20:], 23<<20)
			return data
		},
		"behind the end": func(g *writeRig, f *File) []byte {
			data := writePattern(1, limit-100)
			clear(data[20<<20:])
			g.write(f, data[:20<<20], 0)
			return data
		},
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.create("k")
				data := prepare(g, f)
				used := g.journal.Spool.Used()
				check(t, f.head().spool.Sync())
				again := limitFiles(t, limit)
				p := writePattern(2, 300)
				n, err := f.WriteAt(context.Background(), p, limit-100)
				again()
				if n != 100 || err == nil {
					t.Fatalf("write: %d, %v; want 100 and an error", n, err)
				}
				data = patched(data, string(p[:100]), limit-100)
				if more := g.journal.Spool.Used() - used; more > 100 {
					t.Errorf("%d bytes more are booked in the spool", more)
				}
				if name == "behind the end" { // a gap, where more of the write could have been left
					check(t, f.Truncate(context.Background(), limit+1000))
					data = patched(data, string(make([]byte, 1000)), limit)
				}
				g.reads(f, data)
				g.closeFile(f)
				g.wait()
				g.has("k", data)
				g.idle()
			})
		})
	}
}

// breakDisk lets nothing that is done with an open file reach the disk, until mend.
func breakDisk(t *testing.T, path string) (mend func()) {
	t.Helper()
	var pipe [2]int
	check(t, syscall.Pipe2(pipe[:], syscall.O_CLOEXEC))
	list, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	kept := map[int]int{}
	for _, e := range list {
		fd, err := strconv.Atoi(e.Name())
		check(t, err)
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == path {
			saved, err := syscall.Dup(fd)
			check(t, err)
			kept[fd] = saved
			check(t, syscall.Dup3(pipe[1], fd, syscall.O_CLOEXEC))
		}
	}
	if len(kept) == 0 {
		t.Fatalf("%s is not open", path)
	}
	return func() {
		for fd, saved := range kept {
			check(t, syscall.Dup3(saved, fd, syscall.O_CLOEXEC))
			check(t, syscall.Close(saved))
		}
		check(t, syscall.Close(pipe[0]))
		check(t, syscall.Close(pipe[1]))
	}
}

// A disk that could not keep the bytes tells so once. The close fails, and so does each
// one after it: the bytes are not taken for safe, and never published.
func TestFailedSyncFailsForEver(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, []byte("bytes"), 0)
		mend := breakDisk(t, filepath.Join(g.dir, "spool", f.head().id))
		err := f.Flush(context.Background())
		mend()
		if err == nil {
			t.Fatal("the close succeeded, the disk had failed")
		}
		if err := f.Flush(context.Background()); err == nil {
			t.Error("the next close took the bytes for safe")
		}
		f.CloseHandle(true)
		time.Sleep(time.Hour)
		g.keys()
		if st := g.engine.Status(""); len(st) != 1 || st[0].State != StateFailed {
			t.Errorf("status %+v", st)
		}
		g.crash()
		if len(g.found.Files) != 0 {
			t.Errorf("the journal took the bytes for safe: %+v", g.found)
		}
		g.keys()
	})
}
