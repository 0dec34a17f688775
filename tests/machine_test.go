//go:build linux

package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a computer on which s3mount is installed: a mount namespace with a home of
// root and a /usr/local/bin of its own, so that nothing of the real one is changed.
type machine struct {
	t      *testing.T
	pid    int // a process that keeps the namespace
	home   string
	fstab  string
	bucket string
}

// installScript makes the namespace. Links are names for the program in /sbin, where
// mount(8) looks.
// Copies of mounts that others make at the same time are let go: they would live on here
// after they were unmounted there.
const installScript = `set -e
awk '$3 == "fuse.s3mount" { print $2 }' /proc/self/mounts | while read -r dir; do umount -i -l "$dir" || true; done
mount --bind "$bin" /usr/local/bin
mount --bind "$home" "$root"
if [ -n "$links" ]; then
	sbin=$(readlink -f /sbin)
	mount --bind "$sbin" "$real"
	ln -s "$real"/* "$mine"/
	for link in $links; do ln -s /usr/local/bin/s3mount "$mine/$link"; done
	mount --bind "$mine" "$sbin"
fi
echo ready
exec cat`

// newMachine installs s3mount. Root's profile "studio" has the keys of the server.
func newMachine(t *testing.T, s *server, links ...string) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can install s3mount in a mount namespace")
	}
	root, err := user.LookupId("0")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, home: t.TempDir(), fstab: filepath.Join(t.TempDir(), "fstab"), bucket: s.bucket(t)}
	bin := t.TempDir()
	if err := os.Symlink(binary(t), filepath.Join(bin, "s3mount")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(m.home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.home, ".aws", "credentials"), fmt.Appendf(nil,
		"[studio]\naws_access_key_id = %s\naws_secret_access_key = %s\nregion = us-east-1\n", s.access, s.secret))

	cmd := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", installScript)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "bin=" + bin, "home=" + m.home, "root=" + root.HomeDir,
		"real=" + t.TempDir(), "mine=" + t.TempDir(), "links=" + strings.Join(links, " ")}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the namespace was not made: %q, %v", line, err)
	}
	m.pid = cmd.Process.Pid
	return m
}

// run runs a command as an init system does, with hardly any environment.
func (m *machine) run(args ...string) result {
	m.t.Helper()
	args = append([]string{"-t", strconv.Itoa(m.pid), "-m", "--"}, args...)
	return runCommand(m.t, []string{"PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true"}, patient(time.Minute), "nsenter", args...)
}

// want runs a command and checks how it ends.
func (m *machine) want(code int, said string, args ...string) result {
	m.t.Helper()
	r := m.run(args...)
	if r.code != code || !strings.Contains(r.stderr, said) || said == "" && r.stderr != "" {
		m.t.Fatalf("%s: exit %d, want %d; stderr %q, want %q; stdout %q", strings.Join(args, " "), r.code, code, r.stderr, said, r.stdout)
	}
	return r
}

// place is a mountpoint with a line in fstab.
func (m *machine) place(options string) string {
	m.t.Helper()
	dir := m.t.TempDir()
	m.t.Cleanup(func() { m.leave(dir) })
	write(m.t, m.fstab, fmt.Appendf(nil, "s3://%s %s fuse.s3mount %s 0 0\n", m.bucket, dir, options))
	return dir
}

// umount unmounts as an administrator does, and waits until the process has ended.
func (m *machine) umount(dir string) {
	m.t.Helper()
	pid := m.serving(dir)
	if pid == 0 {
		m.t.Fatalf("no process serves %s", dir)
	}
	m.want(0, "", "umount", dir)
	m.awaitExit(pid)
}

// leave ends whatever a test has left at a place.
func (m *machine) leave(dir string) {
	if m.mounted(dir) == "" {
		return
	}
	pid := m.serving(dir)
	m.run("umount", "-l", dir)
	m.awaitExit(pid)
}

func (m *machine) awaitExit(pid int) {
	m.t.Helper()
	for deadline := time.Now().Add(patient(20 * time.Second)); runs(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			m.t.Fatalf("process %d had to be killed", pid)
		}
	}
}

// runs also says no about a process that has ended and that nobody has waited for.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// serving is the process of a mount, 0 if it is not known.
func (m *machine) serving(dir string) int {
	m.t.Helper()
	var list []struct {
		PID        int
		Mountpoint string
	}
	if r := m.run("s3mount", "status", "--json"); json.Unmarshal([]byte(r.stdout), &list) != nil {
		m.t.Errorf("status: %s%s", r.stdout, r.stderr)
	}
	for _, one := range list {
		if one.Mountpoint == dir {
			return one.PID
		}
	}
	return 0
}

// mounted is the line of a mountpoint in the list of mounts, empty when there is none.
func (m *machine) mounted(dir string) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", m.pid))
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, " "+dir+" fuse.s3mount ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// path is a path of the machine as this process reaches it.
func (m *machine) path(elem ...string) string {
	return filepath.Join(append([]string{fmt.Sprintf("/proc/%d/root", m.pid)}, elem...)...)
}
