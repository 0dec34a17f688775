//go:build linux

package tests

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const unitFile = "../contrib/systemd/s3mount@.service"

// manager is the socket of an init system.
type manager struct {
	t    *testing.T
	addr string
	said chan string
}

// newManager listens at a path, or in the abstract name space.
func newManager(t *testing.T, addr string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	m := &manager{t, addr, make(chan string, 1000)}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.said <- string(buf[:n])
		}
	}()
	return m
}

// await reads until one message matches, and returns it.
func (m *manager) await(want string) string {
	m.t.Helper()
	limit := time.After(patient(20 * time.Second))
	for {
		select {
		case text := <-m.said:
			if regexp.MustCompile(want).MatchString(text) {
				return text
			}
		case <-limit:
			m.t.Fatalf("the init system was never told %q", want)
		}
	}
}

// unitCommand is the command line of the unit file, as systemd makes it.
func unitCommand(t *testing.T, vars map[string]string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(world.source, unitFile))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/s3mount (.*)$`).FindSubmatch(b)
	if found == nil {
		t.Fatal("the unit file has no command line")
	}
	var args []string
	for word := range strings.FieldsSeq(string(found[1])) {
		if name, ok := strings.CutPrefix(word, "$"); ok && !strings.HasPrefix(name, "{") {
			args = append(args, strings.Fields(vars[name])...) // one word for each
			continue
		}
		args = append(args, os.Expand(strings.NewReplacer("%S", vars["%S"], "%i", vars["%i"]).Replace(word), func(n string) string { return vars[n] }))
	}
	return args
}

// TestUnit runs the command line of the unit file with a socket of systemd: it is ready
// when the mount answers, says that it ends and what is left, and asks for time.
func TestUnit(t *testing.T) {
	for name, addr := range map[string]string{"path": filepath.Join(t.TempDir(), "notify"), "abstract": fmt.Sprintf("@s3mount-tests-%d", os.Getpid())} {
		t.Run(name, func(t *testing.T) {
			s, g := gated(t, embedded(t))
			init := newManager(t, addr)
			m := &mount{t: t, srv: s, bucket: s.bucket(t), dir: t.TempDir(), cache: t.TempDir(), log: &syncBuffer{}, done: make(chan struct{})}
			t.Cleanup(m.end)
			m.cmd = exec.Command(binary(t), unitCommand(t, map[string]string{
				"%S": m.cache, "%i": "footage", "BUCKET": m.bucket, "MOUNTPOINT": m.dir, "OPTIONS": "--endpoint=" + s.endpoint + " --settle=0s",
			})...)
			m.cmd.Env = append(s.environ(t), "NOTIFY_SOCKET="+addr)
			m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
			m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := m.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() {
				defer close(m.done)
				_ = m.cmd.Wait()
			}()
			init.await(`(?s)^READY=1\nSTATUS=` + m.bucket + ` is mounted at `)
			if !isMounted(m.dir) {
				t.Error("ready before it was mounted")
			}
			g.set(gateSilent)
			write(t, m.path("clip.mov"), []byte("clip"))
			if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			init.await(`(?s)^STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000\nSTATUS=`)
			init.await(`(?s)^EXTEND_TIMEOUT_USEC=60000000\nSTATUS=1 file to go, `)
			if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil { // the second one ends the wait
				t.Fatal(err)
			}
			m.awaitEnd(patient(time.Minute))
			if code := m.cmd.ProcessState.ExitCode(); code != 2 {
				t.Errorf("exit %d, want 2; the log:\n%s", code, m.log)
			}
		})
	}
}

// TestUnitIsValid asks systemd what it thinks of the unit file.
func TestUnitIsValid(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed, so nobody reads the unit file as systemd does")
	}
	b, err := os.ReadFile(filepath.Join(world.source, unitFile))
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "s3mount@.service")
	write(t, unit, []byte(strings.ReplaceAll(string(b), "/usr/local/bin/s3mount", binary(t))))
	r := runCommand(t, environ(t, "", ""), patient(time.Minute), "systemd-analyze", "verify", "--man=no", unit)
	// Of other units of this machine it speaks, too.
	for line := range strings.Lines(r.stderr) {
		if strings.Contains(line, "s3mount") {
			t.Errorf("systemd-analyze: %s", strings.TrimSpace(line))
		}
	}
	t.Logf("exit %d: %s", r.code, r.stderr)
}
