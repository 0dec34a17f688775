//go:build linux

package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFstab: lines of fstab, mounted by mount(8) with no environment but the profile
// of root, through mount.fuse3 and through a link in /sbin.
func TestFstab(t *testing.T) {
	for name, links := range map[string][]string{"mount.fuse3": nil, "link": {"mount.fuse.s3mount"}} {
		t.Run(name, func(t *testing.T) {
			s := embedded(t)
			m := newMachine(t, s, links...)
			options := "_netdev,nofail,noatime,x-systemd.automount,profile=studio,endpoint=" + s.endpoint

			dir := m.place(options + ",allow_other,umask=027,settle=0s")
			m.want(0, "", "mount", "-T", m.fstab, dir)
			line := m.mounted(dir)
			for _, want := range []string{"s3://" + m.bucket + " ", "nosuid", "nodev", "allow_other"} {
				if !strings.Contains(line, want) {
					t.Errorf("mounted as %q, want %s in it", line, want)
				}
			}
			write(t, m.path(dir, "clip.mov"), []byte("clip"))
			m.want(0, "", "mount", "-T", m.fstab, "-a") // knows that it is mounted
			m.umount(dir)
			if got, err := s.get(m.bucket, "clip.mov"); string(got) != "clip" {
				t.Errorf("clip.mov after umount: %q, %v", got, err)
			}

			dir = m.place(options + ",ro,noexec")
			m.want(0, "", "mount", "-T", m.fstab, "-a")
			if st, err := os.Stat(m.path(dir, "clip.mov")); err != nil || st.Size() != 4 {
				t.Errorf("clip.mov: %v, %v", st, err)
			}
			if err := os.WriteFile(m.path(dir, "no"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
				t.Errorf("write on a mount with ro: %v, want EROFS", err)
			}
			m.umount(dir)
		})
	}
}

// TestNoexec: the option takes effect, and only then.
func TestNoexec(t *testing.T) {
	for flag, code := range map[string]int{"--noexec": 126, "--umask=022": 0} {
		m := newMount(t, embedded(t), flag)
		write(t, m.path("run"), []byte("#!/bin/sh\nexit 0\n"))
		if err := os.Chmod(m.path("run"), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", m.path("run"))
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("%s: running a program: exit %d, want %d", flag, got, code)
		}
	}
}

// TestFstabRefused: mount(8) gives the code 32 and one line that says what to do.
func TestFstabRefused(t *testing.T) {
	s := embedded(t)
	m := newMachine(t, s, "mount.fuse.s3mount")
	good := "profile=studio,endpoint=" + s.endpoint
	for _, tt := range []struct {
		source, options string
		code            int
		want            string
	}{
		{"", good + ",secret=hunter2", 1, `unknown mount option "secret"`},
		{"", good + ",remount", 1, "unmount, and mount again"},
		{"", good + ",umask=banana", 32, "banana"},
		{"", "profile=other,endpoint=" + s.endpoint, 32, "profile"},
		{"s3://" + m.bucket + "-absent", good, 32, "bucket"},
	} {
		dir := t.TempDir()
		r := m.want(tt.code, tt.want, "mount", "-t", "fuse.s3mount", pick(tt.source, "s3://"+m.bucket), dir, "-o", tt.options)
		if strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "s3mount: ") || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%s: stderr %q, want one line without secrets", tt.options, r.stderr)
		}
		if line := m.mounted(dir); line != "" {
			t.Errorf("%s: mounted: %s", tt.options, line)
		}
	}
	// A bucket that is also a directory of the place where mount is called.
	dir := m.place("defaults")
	if err := os.MkdirAll(filepath.Join(m.home, m.bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	m.want(0, "", "sh", "-c", fmt.Sprintf("cd && mount -t fuse.s3mount %s %s -o %s", m.bucket, dir, good))
	write(t, m.path(dir, "a"), nil)
	m.umount(dir)
}
