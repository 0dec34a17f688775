//go:build linux

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// duplicates are the ways in which programs copy a file inside of one file system.
var duplicates = map[string]string{
	"cp":                               "cp clip.mov %[1]s && [ $(stat -c %%s %[1]s) = $(stat -c %%s clip.mov) ]",
	"cp -a":                            "cp -a clip.mov %[1]s && [ \"$(stat -c '%%y %%a' %[1]s)\" = \"$(stat -c '%%y %%a' clip.mov)\" ]",
	"cp --reflink=auto":                "cp --reflink=auto clip.mov %s",
	"cp over a file":                   "printf old > %[1]s && cp clip.mov %[1]s",
	"copy_file_range":                  "python3 -c 'import os; a = os.open(\"clip.mov\", os.O_RDONLY); b = os.open(\"%s\", os.O_WRONLY | os.O_CREAT); n = os.path.getsize(\"clip.mov\"); assert os.copy_file_range(a, b, n) == n; assert os.copy_file_range(a, b, n) == 0'",
	"copy_file_range, a MiB at a time": "python3 -c 'import os; a = os.open(\"clip.mov\", os.O_RDONLY); b = os.open(\"%s\", os.O_WRONLY | os.O_CREAT)\nwhile os.copy_file_range(a, b, 1 << 20): pass'",
}

// TestDuplicateMovesNoBytes: a published file that is copied inside of the mount is
// copied by the server.
func TestDuplicateMovesNoBytes(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		front, p := through(t, s)
		m := newMount(t, front)
		const size = 100 << 20
		sum := randomFile(t, m.path("clip.mov"), size)
		m.remountCold()
		for name, script := range duplicates {
			if strings.HasPrefix(name, "copy") {
				if _, err := exec.LookPath("python3"); err != nil {
					t.Skip("python3 is missing")
				}
			}
			copied := strings.ReplaceAll(name, " ", "_")
			p.reset()
			shell(t, "cd "+m.dir+" && "+fmt.Sprintf(script, copied)+" && sync "+copied)
			n, got, err := s.sha256(m.bucket, copied)
			if err != nil || n != size || got != sum {
				t.Errorf("%s: %d bytes, sha256 %s, err %v; want %d bytes, %s", name, n, got, err, size, sum)
			}
			for _, r := range p.matching(request.movesData) {
				if r.length > 1<<10 || r.method == "GET" {
					t.Errorf("%s: %s %s?%s with %d bytes", name, r.method, r.path, r.query, r.length)
				}
			}
		}
		if got := fileSum(t, m.path("cp")); got != sum {
			t.Errorf("the copy reads %s, want %s", got, sum)
		}
	})
}

// TestDuplicateSurvivesAKill: the copy is there when its program has closed it, and
// when it has not.
func TestDuplicateSurvivesAKill(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s, "--settle", "1h")
		sum := randomFile(t, m.path("clip.mov"), 20<<20)
		shell(t, "sync "+m.path("clip.mov")+" && cp "+m.path("clip.mov")+" "+m.path("closed.mov"))
		in, err := os.Open(m.path("clip.mov"))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := os.Create(m.path("open.mov"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if n, err := unix.CopyFileRange(int(in.Fd()), nil, int(out.Fd()), nil, 1<<30, 0); n != 20<<20 || err != nil {
			t.Fatalf("copied %d bytes, %v", n, err)
		}
		m.kill()
		m.start()
		m.unmount()
		for _, key := range []string{"clip.mov", "closed.mov", "open.mov"} {
			if n, got, err := s.sha256(m.bucket, key); err != nil || n != 20<<20 || got != sum {
				t.Errorf("%s: %d bytes, sha256 %s, err %v; want %s", key, n, got, err, sum)
			}
		}
	})
}

// TestCopyFileRangeErrors are the answers of a local disk. What the server cannot copy
// is read and written, call by call.
func TestCopyFileRangeErrors(t *testing.T) {
	m := newMount(t, embedded(t))
	randomFile(t, m.path("a"), 1<<20)
	shell(t, "sync "+m.path("a")+" && touch "+m.path("empty")+" && sync "+m.path("empty"))
	t.Run("calls", func(t *testing.T) { copyFileRangeErrors(t, m) })
	shell(t, "cd "+m.dir+" && sync a && cp a whole && cmp a whole && cmp a sent && tail -c +8 a > rest && cmp rest b3 && cp a dirty && cp dirty again && cmp a again")
	m.unmount()
	m.flags = append(m.flags, "--read-only")
	m.start()
	if out, err := exec.Command("cp", m.path("a"), m.path("new")).CombinedOutput(); err == nil || !strings.Contains(string(out), "Read-only") {
		t.Errorf("cp on a read-only mount: %s, %v", out, err)
	}
}

// copyFileRangeErrors is over when its descriptors are closed.
func copyFileRangeErrors(t *testing.T, m *mount) {
	open := func(name string, flags int) int {
		t.Helper()
		f, err := os.OpenFile(m.path(name), flags, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return int(f.Fd())
	}
	const write = os.O_WRONLY | os.O_CREATE
	for _, c := range []struct {
		what     string
		in, out  int
		from, to int64
		n, want  int
		err      error
	}{
		{"a source that is open for writing only", open("a", os.O_WRONLY), open("b0", write), 0, 0, 1, 0, unix.EBADF},
		{"a target that is open for reading", open("a", os.O_RDONLY), open("empty", os.O_RDONLY), 0, 0, 1, 0, unix.EBADF},
		{"a target with O_APPEND", open("a", os.O_RDONLY), open("b1", write|os.O_APPEND), 0, 0, 1, 0, unix.EBADF},
		{"an empty source", open("empty", os.O_RDONLY), open("b2", write), 0, 0, 1, 0, nil},
		{"onto itself", open("a", os.O_RDONLY), open("a", os.O_WRONLY), 0, 10, 20, 0, unix.EINVAL},
		{"inside of one file", open("a", os.O_RDONLY), open("a", os.O_WRONLY), 0, 100, 50, 50, nil},
		{"to another offset", open("a", os.O_RDONLY), open("b3", write), 7, 0, 1 << 20, 1<<20 - 7, nil},
		{"and then to its own", open("empty", os.O_RDONLY), open("b3", write), 0, 0, 1, 0, nil},
	} {
		n, err := unix.CopyFileRange(c.in, &c.from, c.out, &c.to, c.n, 0)
		if n == -1 {
			n = 0
		}
		if n != c.want || err != c.err {
			t.Errorf("%s: %d, %v; want %d, %v", c.what, n, err, c.want, c.err)
		}
	}
	if n, err := unix.Sendfile(open("sent", write), open("a", os.O_RDONLY), nil, 1<<20); n != 1<<20 || err != nil {
		t.Errorf("sendfile: %d, %v", n, err)
	}
}
