//go:build linux

package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The rows of docs/SEMANTICS.md about writing that no other test proves.

func TestAppendFromSeveralDescriptors(t *testing.T) {
	m := newMount(t, embedded(t))
	path := m.path("log")
	write(t, path, nil)
	var all sync.WaitGroup
	for i := range 4 { // two descriptors here, two in processes of their own
		if i >= 2 {
			all.Go(func() {
				line := fmt.Sprintf("i=0; while [ $i -lt 15 ]; do echo writer-%d >> %s; i=$((i+1)); done", i, path)
				if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
					t.Errorf("append: %v %s", err, out)
				}
			})
			continue
		}
		f := open(t, path, os.O_WRONLY|os.O_APPEND)
		all.Go(func() {
			for range 15 {
				if _, err := fmt.Fprintf(f, "writer-%d\n", i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	count := map[string]int{}
	for line := range strings.Lines(string(read(t, path))) {
		count[line]++
	}
	for i := range 4 {
		if got := count[fmt.Sprintf("writer-%d\n", i)]; got != 15 || len(count) != 4 {
			t.Errorf("writer %d: %d lines of 15, in %v", i, got, count)
		}
	}
}

func TestPrivateMappingStaysPrivate(t *testing.T) {
	m := newMount(t, embedded(t))
	path := m.path("f")
	write(t, path, bytes.Repeat([]byte("a"), 8192))
	f := open(t, path, os.O_RDONLY)
	mapped, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	copy(mapped[4000:], "private")
	if got := read(t, path); !bytes.Equal(got, bytes.Repeat([]byte("a"), 8192)) {
		t.Error("the file shows what was written to a private mapping")
	}
	if string(mapped[4000:4007]) != "private" {
		t.Error("the mapping does not")
	}
}

// TestTruncateIsJournaled kills the mount behind a truncate, while the file is open.
func TestTruncateIsJournaled(t *testing.T) {
	m := newMount(t, embedded(t))
	f, err := os.Create(m.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Repeat([]byte("x"), 50_000)); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(12_345); err != nil {
		t.Fatal(err)
	}
	m.kill()
	f.Close()
	m.start()
	if got := read(t, m.path("f")); !bytes.Equal(got, bytes.Repeat([]byte("x"), 12_345)) {
		t.Errorf("%d bytes after the crash, want 12345", len(got))
	}
}

// TestMoreThatCannotBe gives refused calls their errno, as TestWhatCannotBe does.
func TestMoreThatCannotBe(t *testing.T) {
	m := newMount(t, embedded(t))
	write(t, m.path("file"), []byte("bytes"))
	write(t, m.path("other"), []byte("bytes"))
	f, other := open(t, m.path("file"), os.O_RDWR), open(t, m.path("other"), os.O_RDWR)
	for name, mode := range map[string]uint32{
		"INSERT_RANGE": unix.FALLOC_FL_INSERT_RANGE, "ZERO_RANGE": unix.FALLOC_FL_ZERO_RANGE, "UNSHARE_RANGE": unix.FALLOC_FL_UNSHARE_RANGE,
	} {
		wantErrno(t, "fallocate "+name, unix.Fallocate(int(f.Fd()), mode, 0, 4096), syscall.EOPNOTSUPP)
	}
	wantErrno(t, "FICLONE", unix.IoctlFileClone(int(f.Fd()), int(other.Fd())), syscall.EOPNOTSUPP)
	wantErrno(t, "symlink of 4096 bytes", os.Symlink(strings.Repeat("x", 4096), m.path("link")), syscall.ENAMETOOLONG)
	wantErrno(t, "mknod of a device", unix.Mknod(m.path("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), syscall.EPERM)
	l, err := net.Listen("unix", m.path("socket"))
	wantErrno(t, "bind of a socket", err, syscall.EPERM)
	if err == nil {
		l.Close()
	}
	_, err = unix.Getxattr(m.path("file"), "security.selinux", make([]byte, 64))
	wantErrno(t, "getxattr security.*", err, syscall.ENODATA)
	_, err = unix.Getxattr(m.path("file"), "trusted.x", make([]byte, 64))
	wantErrno(t, "getxattr trusted.*", err, syscall.ENODATA)
	wantErrno(t, "setxattr of 4 KB", unix.Setxattr(m.path("file"), "user.big", make([]byte, 4096), 0), syscall.ENOSPC)
}

// TestSyncCalls looks into the bucket behind each call that syncs.
func TestSyncCalls(t *testing.T) {
	s := embedded(t)
	m := newMount(t, s, "--settle", "1h") // nothing but a sync publishes
	f, err := os.Create(m.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("one"); err != nil {
		t.Fatal(err)
	}
	dir := open(t, m.dir, os.O_RDONLY)
	if err := dir.Sync(); err != nil {
		t.Errorf("fsync of a directory: %v", err)
	}
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		t.Errorf("syncfs: %v", err)
	}
	if _, err := s.head(m.bucket, "f"); err == nil {
		t.Error("the file is in the bucket, and nobody synced it")
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		t.Errorf("fdatasync: %v", err)
	}
	if got, err := s.get(m.bucket, "f"); err != nil || string(got) != "one" {
		t.Errorf("behind fdatasync the bucket has %q, %v", got, err)
	}
}

// TestReadOnBehindRename reads from a file that another one has replaced, and from one
// that was unlinked.
func TestReadOnBehindRename(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		for _, published := range []bool{false, true} {
			for _, gone := range []string{"rename", "unlink"} {
				write(t, m.path("old"), []byte("old bytes"))
				write(t, m.path("new"), []byte("new bytes"))
				if published {
					shell(t, "sync "+m.path("old")+" "+m.path("new"))
				}
				f := open(t, m.path("old"), os.O_RDONLY)
				var err error
				if gone == "rename" {
					err = os.Rename(m.path("new"), m.path("old"))
				} else {
					err = os.Remove(m.path("old"))
				}
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(f)
				if err != nil || string(got) != "old bytes" {
					t.Errorf("published %v, %s: read %q, %v", published, gone, got, err)
				}
				f.Close()
			}
		}
	})
}

func TestRenameNoReplace(t *testing.T) {
	m := newMount(t, embedded(t))
	write(t, m.path("a"), []byte("bytes"))
	if err := unix.Renameat2(unix.AT_FDCWD, m.path("a"), unix.AT_FDCWD, m.path("b"), unix.RENAME_NOREPLACE); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m.path("b")); string(got) != "bytes" {
		t.Errorf("read %q", got)
	}
}

// TestDirectoryOutlivesItsFiles removes the last file of a directory that has no marker.
func TestDirectoryOutlivesItsFiles(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		if err := s.put(bucket, "day/one/clip", []byte("x")); err != nil {
			t.Fatal(err)
		}
		m := mountBucket(t, s, bucket)
		if err := os.Remove(m.path("day", "one", "clip")); err != nil {
			t.Fatal(err)
		}
		m.remountCold()
		if entries, err := os.ReadDir(m.path("day", "one")); err != nil || len(entries) != 0 {
			t.Errorf("the directory: %v, %v", entries, err)
		}
		if keys, err := s.list(bucket, ""); err != nil || len(keys) == 0 {
			t.Errorf("no marker in the bucket: %v, %v", keys, err)
		}
	})
}

// TestSeekdirWhileEntriesChange goes back to a position after names came and went.
func TestSeekdirWhileEntriesChange(t *testing.T) {
	m := newMount(t, embedded(t))
	for i := range 20 {
		write(t, m.path(fmt.Sprintf("f%02d", i)), nil)
	}
	dir := open(t, m.dir, os.O_RDONLY)
	buf := make([]byte, 200) // a few entries
	n, err := unix.Getdents(int(dir.Fd()), buf)
	if err != nil || n == 0 {
		t.Fatalf("getdents: %d, %v", n, err)
	}
	pos, err := unix.Seek(int(dir.Fd()), 0, io.SeekCurrent)
	if err != nil {
		t.Fatal(err)
	}
	next := func() []string {
		t.Helper()
		b := make([]byte, 4096)
		n, err := unix.Getdents(int(dir.Fd()), b)
		if err != nil {
			t.Fatal(err)
		}
		_, _, names := unix.ParseDirent(b[:n], -1, nil)
		return names
	}
	want := next()
	if err := os.Remove(m.path(want[0])); err != nil {
		t.Fatal(err)
	}
	write(t, m.path("a-new-one"), nil)
	if _, err := unix.Seek(int(dir.Fd()), pos, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got := next(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("behind the position are %v, want %v", got, want)
	}
}

func TestLocksBetweenProcesses(t *testing.T) {
	m := newMount(t, embedded(t))
	path := m.path("project.lck")
	write(t, path, make([]byte, 100))
	f := open(t, path, os.O_RDWR)
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("flock", "--nonblock", path, "true").CombinedOutput(); err == nil {
		t.Errorf("another process got the lock: %s", out)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("flock", "--nonblock", path, "true").CombinedOutput(); err != nil {
		t.Errorf("another process does not get the lock: %v %s", err, out)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	g := open(t, path, os.O_RDWR)
	lock = unix.Flock_t{Type: unix.F_WRLCK, Start: 15, Len: 1}
	wantErrno(t, "F_OFD_SETLK of a locked range", unix.FcntlFlock(g.Fd(), unix.F_OFD_SETLK, &lock), syscall.EAGAIN)
	lock = unix.Flock_t{Type: unix.F_WRLCK, Start: 20, Len: 1}
	if err := unix.FcntlFlock(g.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Errorf("F_OFD_SETLK of a free range: %v", err)
	}
}

// TestAttributesOfDirectories checks what a local disk would say, as far as a bucket can.
func TestAttributesOfDirectories(t *testing.T) {
	m := newMount(t, embedded(t))
	if err := os.Mkdir(m.path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(m.path("dir"), long, long); err != nil {
		t.Fatal(err)
	}
	write(t, m.path("dir", "new"), nil)
	if st, err := os.Stat(m.path("dir")); err != nil || time.Since(st.ModTime()) > 30*time.Minute {
		t.Errorf("a new entry left the directory's time at %v, %v", st.ModTime(), err)
	}
	inode := func(path string) uint64 {
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	was := inode(m.path("dir", "new"))
	if err := os.Chmod(m.dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(m.dir); err != nil || st.Mode().Perm() != 0o711 {
		t.Errorf("mode of the root: %v, %v", st.Mode(), err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(m.dir, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) != 1<<50 || fs.Ffree != 1<<32 || fs.Namelen != 255 {
		t.Errorf("statfs: %+v, %v", fs, err)
	}
	m.remountCold()
	if got := inode(m.path("dir", "new")); got != was {
		t.Errorf("inode after a remount: %d, want %d", got, was)
	}
	if st, err := os.Stat(m.path("dir")); err != nil || st.ModTime().Unix() != long.Unix() {
		t.Errorf("the directory's time after a remount: %v, %v; want that of its marker, %v", st.ModTime(), err, long)
	}
}

// TestOtherUsers reads, writes and gives away files as somebody else.
func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	m := newMount(t, embedded(t), "--allow-other")
	write(t, m.path("private"), []byte("bytes"))
	write(t, m.path("theirs"), []byte("bytes"))
	for _, err := range []error{os.Chmod(m.path("private"), 0o600), os.Chown(m.path("theirs"), 1234, 1234), os.Chmod(m.dir, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	letIn(t, m.dir)
	for line, want := range map[string]string{
		"cat " + m.path("private"):         "Permission denied",
		"echo x > " + m.path("new"):        "ermission denied",
		"chown 0 " + m.path("theirs"):      "not permitted",
		"chmod 600 " + m.path("theirs"):    "",
		"echo more >> " + m.path("theirs"): "",
	} {
		err := runAs(1234, line)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// runAs runs a line of shell as another user.
func runAs(uid uint32, line string) error {
	cmd := exec.Command("sh", "-ec", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// letIn makes a directory and those above it passable for everybody.
func letIn(t *testing.T, dir string) {
	t.Helper()
	for ; dir != "/tmp" && dir != "/"; dir = dir[:strings.LastIndexByte(dir, '/')] {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoMachinesCreateOneName has two mounts that both make a file: both are kept.
func TestTwoMachinesCreateOneName(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		a := newMount(t, s)
		b := mountBucket(t, s, a.bucket)
		for _, m := range []*mount{a, b} {
			f, err := os.OpenFile(m.path("clip.mov"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				t.Fatalf("O_EXCL: %v", err) // neither sees the other's file
			}
			_, err = f.WriteString(m.cache)
			if err := firstOf(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range []*mount{a, b} {
			if r := run(t, s.environ(t), patient(time.Minute), "wait", m.dir); r.code != 0 {
				t.Fatalf("wait: %s", r.stderr)
			}
		}
		keys, err := s.list(a.bucket, "")
		if err != nil {
			t.Fatal(err)
		}
		kept := map[string]bool{}
		for key := range keys {
			body, err := s.get(a.bucket, key)
			if err != nil || !strings.HasPrefix(key, "clip") {
				t.Errorf("%s: %v", key, err)
			}
			kept[string(body)] = true
		}
		if len(keys) != 2 || !kept[a.cache] || !kept[b.cache] {
			t.Errorf("the bucket has %v, want both files", keys)
		}
	})
}

var errDifferent = errors.New("not yet as the other client left it")

// TestChangesOfOthersShowUp looks for what another client makes, writes and deletes.
func TestChangesOfOthersShowUp(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		if err := s.put(bucket, "a", []byte("1")); err != nil {
			t.Fatal(err)
		}
		m := mountBucket(t, s, bucket, "--list-ttl", "1s")
		if got := read(t, m.path("a")); string(got) != "1" {
			t.Fatalf("read %q", got)
		}
		if _, err := os.Stat(m.path("b")); !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for key, body := range map[string]string{"a": "second", "b": "new"} {
			if err := s.put(bucket, key, []byte(body)); err != nil {
				t.Fatal(err)
			}
			eventually(t, 20*time.Second, func() error {
				got, err := os.ReadFile(m.path(key))
				if err == nil && string(got) != body {
					err = errDifferent
				}
				return err
			})
		}
		if _, _, err := s.call("DELETE", bucket, "a", nil, nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, func() error {
			if _, err := os.Stat(m.path("a")); !os.IsNotExist(err) {
				return errDifferent
			}
			return nil
		})
	})
}

// Who creates a file is told to write it in large pieces; who reads a large one, not to.
func TestBlockSize(t *testing.T) {
	m := newMount(t, embedded(t))
	for size, want := range map[int64]int64{0: 1 << 20, 1 << 20: 1 << 20, 1<<20 + 1: 128 << 10} {
		path := m.path(fmt.Sprint("of-", size))
		randomFile(t, path, size)
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil || st.Size != size || int64(st.Blksize) != want {
			t.Errorf("%d bytes: %+v, %v; want blocks of %d", size, st, err, want)
		}
	}
}
