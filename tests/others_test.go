//go:build linux

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// program is the path of another client; a machine without it skips the test.
func program(t *testing.T, name, install string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join(os.Getenv("HOME"), "go", "bin", name)
		if _, err = os.Stat(path); err != nil {
			t.Skipf("%s is not installed, so nothing is compared with it; %s", name, install)
		}
	}
	return path
}

// facts are what clients have to agree about.
func facts(t *testing.T, path string, xattr bool) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	out := fmt.Sprintf("%o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		to, err := os.Readlink(path)
		return out + fmt.Sprint(" ", to, err)
	}
	out += fmt.Sprintf(" %d.%09d", st.Atim.Sec, st.Atim.Nsec)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		out += " " + string(read(t, path))
	}
	if xattr {
		buf := make([]byte, 1000)
		n, err := unix.Getxattr(path, "user.color", buf)
		out += fmt.Sprintf(" %q %v", buf[:max(n, 0)], err)
	}
	return out
}

// furnish makes a file, a folder and a link with all that travels.
func furnish(t *testing.T, dir string) {
	t.Helper()
	file, folder, link := filepath.Join(dir, "file"), filepath.Join(dir, "folder"), filepath.Join(dir, "link")
	write(t, file, []byte("bytes"))
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(os.Mkdir(folder, 0o755))
	ok(os.Symlink("folder/there", link))
	for path, mode := range map[string]os.FileMode{file: 0o640, folder: 0o2750} {
		ok(unix.Setxattr(path, "user.color", []byte{'r', 0xfb, 0xff, 0}, 0))
		ok(unix.Chmod(path, uint32(mode)))
		ok(os.Chown(path, 1234, 4321))
		ok(os.Chtimes(path, time.Unix(1_400_000_000, 987_654_321), time.Unix(1_500_000_000, 123_456_789)))
	}
}

// sameFacts compares what two directories show.
func sameFacts(t *testing.T, got, want string) {
	t.Helper()
	for _, name := range []string{"file", "folder", "link"} {
		g, w := facts(t, filepath.Join(got, name), name != "link"), facts(t, filepath.Join(want, name), name != "link")
		if name == "link" { // the time at which it was made is not set by anybody
			g, w = g[:strings.Index(g, ".")-10]+g[strings.LastIndex(g, ".")+10:], w[:strings.Index(w, ".")-10]+w[strings.LastIndex(w, ".")+10:]
		}
		if g != w {
			t.Errorf("%s: %q, and where it was made %q", name, g, w)
		}
	}
}

// TestSameAsS3fs lets s3fs show what s3mount made, and the other way round.
func TestSameAsS3fs(t *testing.T) {
	bin := program(t, "s3fs", "apt-get install s3fs, or make need-bench, does that")
	s := minio(t)
	m := newMount(t, s)
	other := mountS3fs(t, bin, s, m.bucket)
	ours, theirs := m.path("ours"), filepath.Join(other, "theirs")
	for _, dir := range []string{ours, theirs} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		furnish(t, dir)
	}
	m.succeed("wait", m.dir)
	sameFacts(t, filepath.Join(other, "ours"), ours)
	m.succeed("refresh", m.dir)
	sameFacts(t, m.path("theirs"), theirs)
}

func mountS3fs(t *testing.T, bin string, s *server, bucket string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(bin, bucket, dir, "-f", "-o", "url="+s.endpoint, "-o", "use_path_request_style", "-o", "use_xattr", "-o", "allow_other")
	cmd.Env = append(os.Environ(), "AWSACCESSKEYID="+s.access, "AWSSECRETACCESSKEY="+s.secret)
	log := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, 20*time.Second, func() error {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.FUSE_SUPER_MAGIC {
			return fmt.Errorf("s3fs does not mount: %v\n%s", err, log)
		}
		return nil
	})
	return dir
}

// TestSameAsRclone lets rclone keep the times of what s3mount made, and the other way
// round.
func TestSameAsRclone(t *testing.T) {
	bin := program(t, "rclone", "make need-bench does that")
	s := minio(t)
	m := newMount(t, s)
	remote := fmt.Sprintf(":s3,provider=Minio,endpoint='%s',access_key_id=%s,secret_access_key=%s:%s", s.endpoint, s.access, s.secret, m.bucket)
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(bin, append([]string{"--config", "/dev/null"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("rclone %s: %v\n%s", args[0], err, out)
		}
	}
	at := func(path string) string {
		info, err := os.Stat(path)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%v %v", info.ModTime().UnixNano(), info.Mode().Perm())
	}
	src, back := t.TempDir(), t.TempDir()
	for i, ns := range []int64{0, 5e8, 123_456_789} {
		path := filepath.Join(src, fmt.Sprint("f", i))
		write(t, path, []byte("bytes"))
		if err := os.Chtimes(path, time.Time{}, time.Unix(1_500_000_000, ns)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o604); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, "cp -a "+src+" "+m.path("ours"))
	run("copy", src, remote+"/plain")
	run("copy", "--metadata", src, remote+"/full")
	m.succeed("wait", m.dir)
	m.succeed("refresh", m.dir)
	run("copy", remote+"/ours", back)
	for i := range 3 {
		name := fmt.Sprint("f", i)
		want, full := at(filepath.Join(src, name)), at(m.path("full", name))
		if got := at(filepath.Join(back, name)); strings.Fields(got)[0] != strings.Fields(want)[0] {
			t.Errorf("rclone takes ours for %s, it is %s", got, want)
		}
		if got := at(m.path("plain", name)); strings.Fields(got)[0] != strings.Fields(want)[0] {
			t.Errorf("what rclone copied is %s, want %s", got, want)
		}
		if full != want {
			t.Errorf("what rclone copied with --metadata is %s, want %s", full, want)
		}
	}
}
