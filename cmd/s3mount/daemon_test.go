package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary play the daemon, which is this program again.
func TestMain(m *testing.M) {
	if role := os.Getenv("S3MOUNT_TEST_DAEMON"); role != "" {
		os.Exit(playDaemon(role))
	}
	os.Exit(m.Run())
}

func playDaemon(role string) int {
	d := daemonPipe()
	if d == nil || os.Getenv(daemonEnv) != "" {
		return 9
	}
	switch role {
	case "ready":
		d.ready()
		time.Sleep(10 * time.Second)
		return 0
	case "fails":
		if d.report(&problem{cause: "no bucket", remedy: "make one\nor two"}) == nil {
			return 9
		}
		return 1
	default:
		fmt.Fprintln(os.Stderr, "words for the log")
		return 2
	}
}

func TestDaemonHandshake(t *testing.T) {
	for _, tt := range []struct{ role, want string }{
		{"ready", ""},
		{"fails", "s3mount: no bucket: make one or two"},
		{"dies", "s3mount: the mount ended without a word (exit status 2): look into "},
	} {
		t.Run(tt.role, func(t *testing.T) {
			log, err := os.Create(filepath.Join(t.TempDir(), "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			cmd, ready, err := daemonCommand(nil, append(os.Environ(), "S3MOUNT_TEST_DAEMON="+tt.role), log)
			if err != nil {
				t.Fatal(err)
			}
			defer ready.Close()
			err = awaitDaemon(t.Context(), cmd, ready, log.Name())
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if sid, err := getsid(cmd.Process.Pid); err == nil && sid != cmd.Process.Pid {
					t.Errorf("session %d, want one of its own (%d)", sid, cmd.Process.Pid)
				}
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
				_ = cmd.Wait()
				return
			}
			if err == nil || !strings.HasPrefix(line(err), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if cmd.ProcessState == nil {
				t.Error("the daemon was not waited for")
			}
		})
	}
}

func getsid(pid int) (int, error) {
	sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sid), nil
}

func TestServes(t *testing.T) {
	for _, tt := range []struct {
		args   string
		daemon bool
		want   bool
	}{
		{"mount b /m", false, false},
		{"mount b /m", true, true},
		{"mount --foreground b /m", false, true},
		{"mount b /m -f", false, true},
		{"wait /m", true, false},
		{"", true, false},
	} {
		if got := serves(strings.Fields(tt.args), tt.daemon); got != tt.want {
			t.Errorf("%q, as a daemon %v: %v", tt.args, tt.daemon, got)
		}
	}
}

func TestHeldLog(t *testing.T) {
	var out strings.Builder
	c := mountCmd{LogLevel: "info"}
	l, err := c.openLog(streams{err: &out}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Info("early")
	if out.Len() != 0 {
		t.Errorf("printed before release: %q", &out)
	}
	l.release()
	l.Info("late")
	if s := out.String(); !strings.Contains(s, "early") || !strings.Contains(s, "late") {
		t.Errorf("log = %q, want both lines", s)
	}
}

func TestCacheDir(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkCacheDir(filepath.Join(dir, "new", "cache"), "/mnt", true); err != nil {
		t.Errorf("a new directory: %v", err)
	}
	for name, bad := range map[string]string{"below a file": filepath.Join(file, "cache"), "inside the mount": "/mnt/cache", "the mountpoint": "/mnt"} {
		if err := checkCacheDir(bad, "/mnt", true); err == nil || !strings.Contains(err.Error(), "cache directory") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "new", "cache")); err != nil || len(entries) != 0 {
		t.Errorf("the check leaves %v, %v", entries, err)
	}
}
