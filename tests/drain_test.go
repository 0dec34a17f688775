//go:build linux

package tests

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDrain: a signal publishes what is left within the limit; what cannot be
// published stays, the exit code and the last line say so, and the next mount goes on.
func TestDrain(t *testing.T) {
	for name, end := range map[string]struct {
		flags []string
		stop  func(t *testing.T, m *mount)
	}{
		"limit":           {[]string{"--drain-timeout=2s"}, func(t *testing.T, m *mount) { signalTo(t, m, syscall.SIGTERM) }},
		"closed terminal": {[]string{"--drain-timeout=2s"}, func(t *testing.T, m *mount) { signalTo(t, m, syscall.SIGHUP) }},
		"second signal": {nil, func(t *testing.T, m *mount) {
			signalTo(t, m, syscall.SIGINT)
			eventually(t, 20*time.Second, func() error {
				if isMounted(m.dir) {
					return fmt.Errorf("still mounted")
				}
				return nil
			})
			signalTo(t, m, syscall.SIGINT)
		}},
		"umount": {[]string{"--drain-timeout=2s"}, func(t *testing.T, m *mount) {
			m.want(2, `1 file is not in the bucket yet \(3\.1 MB to send\); safe in .*next mount goes on: s3mount mount`, "umount", m.dir)
		}},
		"fusermount3": {[]string{"--drain-timeout=2s"}, func(t *testing.T, m *mount) { shell(t, "fusermount3 -u "+m.dir) }},
	} {
		t.Run(name, func(t *testing.T) {
			s, g := gated(t, embedded(t))
			m := newMount(t, s, end.flags...)
			g.set(gateSilent)
			copyIn(t, m.path("a.mov"), 3<<20)
			end.stop(t, m)
			m.awaitEnd(patient(30 * time.Second))
			if code := m.cmd.ProcessState.ExitCode(); code != 2 {
				t.Errorf("exit %d, want 2; the log:\n%s", code, m.log)
			}
			if !regexp.MustCompile(`1 file is not in the bucket yet \(3\.1 MB to send\); safe in the cache directory .*: the next mount goes on`).MatchString(m.log.String()) {
				t.Errorf("what is left is not said:\n%s", m.log)
			}
			g.set(gateOpen)
			m.start()
			m.want(0, "", "wait", m.dir)
			if n, _, err := s.sha256(m.bucket, "a.mov"); n != 3<<20 || err != nil {
				t.Errorf("a.mov: %d bytes, %v", n, err)
			}
			write(t, m.path("b.mov"), []byte("b"))
			signalTo(t, m, syscall.SIGTERM)
			m.awaitEnd(patient(30 * time.Second))
			if code := m.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit %d after a full drain, want 0; the log:\n%s", code, m.log)
			}
			if got, err := s.get(m.bucket, "b.mov"); err != nil || string(got) != "b" {
				t.Errorf("b.mov: %q, %v", got, err)
			}
		})
	}
}

// TestDrainNamesOpenFiles: the end comes while a file is being written.
func TestDrainNamesOpenFiles(t *testing.T) {
	m := newMount(t, embedded(t), "--drain-timeout=2s")
	f, err := os.Create(m.path("open.mov"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("begun"); err != nil {
		t.Fatal(err)
	}
	signalTo(t, m, syscall.SIGTERM)
	m.awaitEnd(patient(30 * time.Second))
	if code := m.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(m.log.String(), "open.mov was still open for writing") {
		t.Errorf("exit %d, want 2 and the name; the log:\n%s", code, m.log)
	}
}

// signalTo sends a signal to a mount that has told that it is up: one before that
// ends it at once.
func signalTo(t *testing.T, m *mount, sig syscall.Signal) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		if !strings.Contains(m.log.String(), "msg=mounted") {
			return fmt.Errorf("the log does not say that it is mounted")
		}
		return nil
	})
	if err := m.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}
