//go:build linux

package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMetadataSurvivesRemount sets everything that an object can carry and
// looks at it through a mount that remembers nothing.
func TestMetadataSurvivesRemount(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		mtime := time.Date(2021, 3, 4, 5, 6, 7, 123456789, time.UTC)
		file, dir, link := m.path("clip.wav"), m.path("Card A"), m.path("latest")
		write(t, file, []byte("sound"))
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("Card A/../clip.wav", link); err != nil {
			t.Fatal(err)
		}
		value := []byte{0, 1, 2, 255, 'x'}
		for _, path := range []string{file, dir} {
			if err := unix.Setxattr(path, "user.comment", value, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, mtime, mtime); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(file, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(file, 1234, 5678); err != nil {
			t.Fatal(err)
		}

		m.remountCold()
		check := func(path string, mode os.FileMode) os.FileInfo {
			t.Helper()
			st, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if st.Mode() != mode || !st.ModTime().Equal(mtime) {
				t.Errorf("%s: %v %v, want %v %v", filepath.Base(path), st.Mode(), st.ModTime().UTC(), mode, mtime)
			}
			buf := make([]byte, 100)
			if n, err := unix.Getxattr(path, "user.comment", buf); err != nil || !bytes.Equal(buf[:n], value) {
				t.Errorf("%s: xattr %q, %v; want %q", filepath.Base(path), buf[:max(n, 0)], err, value)
			}
			return st
		}
		st := check(file, 0o640)
		check(dir, os.ModeDir|0o750)
		if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 1234 || sys.Gid != 5678 {
			t.Errorf("owner %d:%d, want 1234:5678", sys.Uid, sys.Gid)
		}
		if target, err := os.Readlink(link); err != nil || target != "Card A/../clip.wav" {
			t.Errorf("readlink = %q, %v", target, err)
		}
		if got := read(t, link); string(got) != "sound" {
			t.Errorf("through the link: %q", got)
		}
		if got, err := s.get(m.bucket, "clip.wav"); err != nil || string(got) != "sound" {
			t.Errorf("in the bucket: %q, %v", got, err)
		}
	})
}

// TestXattrCalls goes through the answers that Finder, Samba and rsync need.
func TestXattrCalls(t *testing.T) {
	m := newMount(t, embedded(t))
	path := m.path("f")
	write(t, path, nil)
	buf := make([]byte, 64)
	_, err := unix.Getxattr(path, "user.none", buf)
	wantErrno(t, "get of a missing one", err, syscall.ENODATA)
	wantErrno(t, "remove of a missing one", unix.Removexattr(path, "user.none"), syscall.ENODATA)
	wantErrno(t, "replace of a missing one", unix.Setxattr(path, "user.none", nil, unix.XATTR_REPLACE), syscall.ENODATA)
	wantErrno(t, "system.*", unix.Setxattr(path, "system.nfs4_acl", []byte("x"), 0), syscall.ENOTSUP)
	if err := unix.Setxattr(path, "user.a", []byte("value"), unix.XATTR_CREATE); err != nil {
		t.Fatal(err)
	}
	wantErrno(t, "create of an existing one", unix.Setxattr(path, "user.a", nil, unix.XATTR_CREATE), syscall.EEXIST)
	_, err = unix.Getxattr(path, "user.a", buf[:2])
	wantErrno(t, "get with too little room", err, syscall.ERANGE)
	_, err = unix.Listxattr(path, buf[:2])
	wantErrno(t, "list with too little room", err, syscall.ERANGE)
	if n, err := unix.Getxattr(path, "user.a", nil); err != nil || n != 5 {
		t.Errorf("size of the value: %d, %v; want 5", n, err)
	}
	n, err := unix.Listxattr(path, buf)
	if err != nil || !bytes.Contains(buf[:n], []byte("user.a\x00")) {
		t.Errorf("list = %q, %v", buf[:max(n, 0)], err)
	}
}

// TestWhatCannotBe gives each refused call its errno.
func TestWhatCannotBe(t *testing.T) {
	m := newMount(t, embedded(t))
	file, other := m.path("file"), m.path("other")
	write(t, file, []byte("1"))
	write(t, other, []byte("2"))
	wantErrno(t, "link", os.Link(file, m.path("hard")), syscall.EPERM)
	wantErrno(t, "mkfifo", unix.Mkfifo(m.path("pipe"), 0o600), syscall.EPERM)
	wantErrno(t, "rename with RENAME_NOREPLACE", unix.Renameat2(unix.AT_FDCWD, file, unix.AT_FDCWD, other, unix.RENAME_NOREPLACE), syscall.EEXIST)
	wantErrno(t, "rename with RENAME_EXCHANGE", unix.Renameat2(unix.AT_FDCWD, file, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE), syscall.EINVAL)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	wantErrno(t, "ioctl", err, syscall.ENOTTY)
	wantErrno(t, "fallocate COLLAPSE_RANGE", unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096), syscall.EOPNOTSUPP)
	_, err = unix.Open(m.dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	wantErrno(t, "O_TMPFILE", err, syscall.EOPNOTSUPP)
	_, err = os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	wantErrno(t, "O_EXCL", err, syscall.EEXIST)
	wantErrno(t, "rmdir of a file", unix.Rmdir(file), syscall.ENOTDIR)
	if err := unix.Mknod(m.path("regular"), unix.S_IFREG|0o600, 0); err != nil {
		t.Errorf("mknod of a regular file: %v", err)
	}
	shell(t, "cd "+m.dir+" && cp file copied && cmp file copied && cp -a file archived && cp --sparse=always file sparse && cmp file sparse")
}

// TestReadOnly refuses every change, and sends none.
func TestReadOnly(t *testing.T) {
	s, p := through(t, embedded(t))
	bucket := s.bucket(t)
	if err := s.put(bucket, "dir/clip", []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	p.reset()
	m := mountBucket(t, s, bucket, "--read-only")
	if got := read(t, m.path("dir", "clip")); string(got) != "bytes" {
		t.Errorf("read %q", got)
	}
	for op, err := range map[string]error{
		"create": os.WriteFile(m.path("new"), nil, 0o644),
		"write":  os.WriteFile(m.path("dir", "clip"), nil, 0o644),
		"unlink": os.Remove(m.path("dir", "clip")),
		"rename": os.Rename(m.path("dir"), m.path("other")),
		"mkdir":  os.Mkdir(m.path("new"), 0o755),
		"chmod":  os.Chmod(m.path("dir", "clip"), 0o600),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v, want EROFS", op, err)
		}
	}
	m.unmount()
	if sent := p.matching(func(r request) bool { return r.method != "GET" && r.method != "HEAD" }); len(sent) > 0 {
		t.Errorf("a read-only mount sent %v", sent)
	}
}

// TestTimesFarAway: what cannot be kept becomes what is nearest, and stays in order.
func TestTimesFarAway(t *testing.T) {
	m := newMount(t, embedded(t))
	for year, want := range map[int]int{1601: 1697, 1969: 1969, 2106: 2106, 2286: 2242, 2446: 2242} {
		path := m.path(fmt.Sprint(year))
		write(t, path, nil)
		when := unix.Timespec{Sec: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC).Unix()}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{when, when}, 0); err != nil {
			t.Fatal(err)
		}
		for _, where := range []string{"at once", "in the bucket"} {
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			if got := time.Unix(st.Mtim.Unix()).UTC().Year(); got != want {
				t.Errorf("%d %s: %d, want %d", year, where, got, want)
			}
			if where == "at once" {
				shell(t, "sync "+path)
			}
		}
	}
	m.remountCold()
	for year, want := range map[int]int{1601: 1697, 2446: 2242} {
		var st unix.Stat_t
		if err := unix.Stat(m.path(fmt.Sprint(year)), &st); err != nil {
			t.Fatal(err)
		}
		if got := time.Unix(st.Mtim.Unix()).UTC().Year(); got != want {
			t.Errorf("%d behind a remount: %d, want %d", year, got, want)
		}
	}
}
