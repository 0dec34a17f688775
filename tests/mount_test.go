//go:build linux

package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mount is a running s3mount with its mountpoint.
type mount struct {
	t      *testing.T
	srv    *server
	bucket string
	dir    string // the mountpoint
	cache  string
	flags  []string

	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	log  *syncBuffer
}

// syncBuffer collects stderr while the process runs.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newMount mounts a fresh bucket of the server until the test ends.
func newMount(t *testing.T, s *server, flags ...string) *mount {
	t.Helper()
	return mountBucket(t, s, s.bucket(t), flags...)
}

func mountBucket(t *testing.T, s *server, bucket string, flags ...string) *mount {
	t.Helper()
	m := &mount{t: t, srv: s, bucket: bucket, dir: t.TempDir(), cache: t.TempDir(), flags: flags}
	t.Cleanup(m.end)
	m.start()
	return m
}

func (m *mount) args() []string {
	args := []string{"mount", "--foreground", "--endpoint", m.srv.endpoint, "--cache-dir", m.cache}
	return append(append(args, m.flags...), m.bucket, m.dir)
}

// start mounts and waits until the kernel knows.
func (m *mount) start() {
	m.t.Helper()
	m.log = &syncBuffer{}
	m.cmd = exec.Command(binary(m.t), m.args()...)
	m.cmd.Env = m.srv.environ(m.t)
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	done := make(chan struct{})
	m.done = done
	go func(cmd *exec.Cmd) {
		defer close(done)
		_ = cmd.Wait()
	}(m.cmd)
	m.awaitMounted(patient(15 * time.Second))
}

func (m *mount) awaitMounted(limit time.Duration) {
	m.t.Helper()
	for deadline := time.Now().Add(limit); !isMounted(m.dir); time.Sleep(10 * time.Millisecond) {
		select {
		case <-m.done:
			m.t.Fatalf("s3mount ended before it had mounted; its log:\n%s", m.log)
		default:
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("not mounted after %v; the log:\n%s", limit, m.log)
		}
	}
}

// patient stretches a limit for the race detector.
func patient(d time.Duration) time.Duration {
	if raceEnabled {
		return 4 * d
	}
	return d
}

// isMounted asks the kernel for a mount that answers.
func isMounted(dir string) bool {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil || !strings.Contains(string(b), " "+dir+" fuse.s3mount ") {
		return false
	}
	// The line may be of a dead mount that is being replaced: then the directory below
	// it answers for a moment. And of a dead mount the kernel may remember the attributes.
	var st, above syscall.Stat_t
	return syscall.Statfs(dir, &syscall.Statfs_t{}) == nil && syscall.Stat(dir, &st) == nil && syscall.Stat(filepath.Dir(dir), &above) == nil && st.Dev != above.Dev
}

// unmount unmounts as a user does, and waits until the process has ended well.
func (m *mount) unmount() {
	m.t.Helper()
	r := run(m.t, m.srv.environ(m.t), patient(2*time.Minute), "umount", m.dir)
	if r.code != 0 {
		m.t.Fatalf("umount: exit %d: %s%s", r.code, r.stderr, holders(m.dir))
	}
	m.awaitEnd(patient(2 * time.Minute))
	if code := m.cmd.ProcessState.ExitCode(); code != 0 {
		m.t.Errorf("s3mount ended with %d after umount; its log:\n%s", code, m.log)
	}
}

// holders names the processes that have something open below a directory.
func holders(dir string) string {
	var out strings.Builder
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return err.Error()
	}
	for _, kind := range []string{"cwd", "root", "map_files/*"} {
		more, err := filepath.Glob("/proc/[0-9]*/" + kind)
		if err != nil {
			return err.Error()
		}
		links = append(links, more...)
	}
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil && (target == dir || strings.HasPrefix(target, dir+"/")) {
			fmt.Fprintf(&out, "\n%s -> %s", l, target)
		}
	}
	return out.String()
}

func (m *mount) awaitEnd(limit time.Duration) {
	m.t.Helper()
	select {
	case <-m.done:
	case <-time.After(limit):
		m.t.Fatalf("s3mount still runs %v after umount; the log:\n%s", limit, m.log)
	}
}

// remount unmounts and mounts again.
func (m *mount) remount() {
	m.t.Helper()
	m.unmount()
	m.start()
}

// remountCold is remount with nothing remembered.
func (m *mount) remountCold() {
	m.t.Helper()
	m.unmount()
	m.cache = m.t.TempDir()
	m.start()
}

// kill is a crash of the process.
func (m *mount) kill() {
	m.t.Helper()
	if err := m.cmd.Process.Kill(); err != nil {
		m.t.Fatal(err)
	}
	<-m.done
}

// end leaves nothing behind, whatever state the test left.
func (m *mount) end() {
	if m.cmd == nil {
		return
	}
	if m.t.Failed() {
		m.t.Logf("log of the mount:\n%s", tail(m.log.String(), 8000))
	}
	if unsound.MatchString(m.log.String()) {
		m.t.Errorf("the mount's log has a race or a panic:\n%s", tail(m.log.String(), 20000))
	}
	deadline := time.Now().Add(patient(20 * time.Second))
	for ended := false; !ended; {
		// Who looks at a path below it for a moment keeps it busy.
		said, failed := exec.Command("fusermount3", "-u", m.dir).CombinedOutput()
		wait := time.Until(deadline)
		if failed != nil && isMounted(m.dir) {
			wait = min(wait, 200*time.Millisecond)
		}
		select {
		case <-m.done:
			ended = true
		case <-time.After(wait):
			if ended = time.Now().After(deadline); ended {
				m.stuck(said)
			}
		}
	}
	_ = syscall.Unmount(m.dir, 2 /* MNT_DETACH */)
	_ = m.cmd.Process.Kill()
	<-m.done
}

// stuck ends a mount that fusermount3 does not end, and shows where it is.
func (m *mount) stuck(said []byte) {
	held := holders(m.dir)
	before := tail(m.log.String(), 8000)
	_ = m.cmd.Process.Signal(syscall.SIGQUIT) // for the stacks of its goroutines
	<-m.done
	var ours []string
	for stack := range strings.SplitSeq(m.log.String(), "\n\n") {
		if strings.HasPrefix(stack, "goroutine ") && strings.Contains(stack, "s3mount/") {
			ours = append(ours, stack)
		}
	}
	m.t.Errorf("s3mount does not end after fusermount3 -u (%q, mounted: %v); its log:\n%s\nits goroutines:\n%s\n%s",
		said, isMounted(m.dir), before, tail(strings.Join(ours, "\n\n"), 20000), held)
}

var unsound = regexp.MustCompile(`DATA RACE|panic:|panic in `)

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// path is a path in the mount.
func (m *mount) path(elem ...string) string {
	return filepath.Join(append([]string{m.dir}, elem...)...)
}

var hwm = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakRSS is the most memory the process has used, in bytes.
func (m *mount) peakRSS() int64 {
	m.t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(m.cmd.Process.Pid) + "/status")
	if err != nil {
		m.t.Fatal(err)
	}
	match := hwm.FindSubmatch(b)
	if match == nil {
		m.t.Fatal("no VmHWM")
	}
	kib, _ := strconv.ParseInt(string(match[1]), 10, 64)
	return kib << 10
}

// eventually repeats f until it returns nil.
func eventually(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patient(limit))
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %v", patient(limit), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// write writes a whole file.
func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// read reads a whole file.
func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantErrno checks the errno of an error.
func wantErrno(t *testing.T, op string, err error, want ...syscall.Errno) {
	t.Helper()
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s: %v, want %v", op, err, want)
}
