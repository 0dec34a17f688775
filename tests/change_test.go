//go:build linux

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// times are the three times of a name, links not followed.
type times struct{ access, modify, change int64 }

func timesOf(t *testing.T, path string) times {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return times{st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano()}
}

// setTimes is utimensat(2); 0 leaves a time alone.
func setTimes(path string, access, modify int64) error {
	ts := []unix.Timespec{unix.NsecToTimespec(access), unix.NsecToTimespec(modify)}
	for i, ns := range []int64{access, modify} {
		if ns == 0 {
			ts[i].Nsec = unix.UTIME_OMIT
		}
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW)
}

// TestTimesOfChanges does one change after the other and looks which times move, then
// whether a mount that remembers nothing shows the same.
func TestTimesOfChanges(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const long, past = 1_400_000_000_000_000_001, 1_500_000_000_999_999_999
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		write(t, m.path("file"), []byte("bytes"))
		if err := os.Mkdir(m.path("dir"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("file", m.path("link")); err != nil {
			t.Fatal(err)
		}
		steps := []struct {
			name  string
			kinds string
			moves string // of a, m and c
			do    func(path string) error
		}{
			{"both times", "file dir link", "amc", func(p string) error { return setTimes(p, long, past) }},
			{"chmod", "file dir", "c", func(p string) error { return unix.Chmod(p, 0o640) }},
			{"chown", "file dir link", "c", func(p string) error { return unix.Lchown(p, 65534, 65533) }},
			{"xattr", "file dir", "c", func(p string) error { return unix.Setxattr(p, "user.a", []byte("b"), 0) }},
			{"refused", "file dir link", "", func(p string) error {
				if err := unix.Setxattr(p, "security.a", []byte("b"), 0); err == nil {
					return fmt.Errorf("set")
				}
				return nil
			}},
			{"access", "file dir link", "ac", func(p string) error { return setTimes(p, past, 0) }},
			{"rename", "file dir link", "c", func(p string) error { return os.Rename(p, p+"2") }},
			{"back", "file dir link", "c", func(p string) error { return os.Rename(p+"2", p) }},
			{"read", "file", "", func(p string) error { _, err := os.ReadFile(p); return err }},
			{"write", "file", "mc", func(p string) error { return os.WriteFile(p, []byte("other"), 0) }},
			{"truncate", "file", "mc", func(p string) error { return os.Truncate(p, 3) }},
			{"same size", "file", "", func(p string) error { return os.Truncate(p, 3) }},
			{"entry", "dir", "mc", func(p string) error { return os.Mkdir(filepath.Join(p, "sub"), 0o755) }},
			{"both again", "file dir link", "amc", func(p string) error { return setTimes(p, long+7, past+7) }},
		}
		for _, kind := range []string{"file", "dir", "link"} {
			path := m.path(kind)
			for _, step := range steps {
				if !slices.Contains(strings.Fields(step.kinds), kind) {
					continue
				}
				old, renamed := path, path
				switch step.name {
				case "rename":
					renamed += "2"
				case "back":
					old += "2"
				}
				before := timesOf(t, old)
				if err := step.do(path); err != nil {
					t.Fatalf("%s of the %s: %v", step.name, kind, err)
				}
				after, moved := timesOf(t, renamed), ""
				if after.access != before.access {
					moved += "a"
				}
				if after.modify != before.modify {
					moved += "m"
				}
				if after.change > before.change {
					moved += "c"
				}
				if moved != step.moves || after.change < before.change {
					t.Errorf("%s of the %s moves %q, want %q: %v, then %v", step.name, kind, moved, step.moves, before, after)
				}
			}
		}
		want := [...]times{timesOf(t, m.path("file")), timesOf(t, m.path("dir")), timesOf(t, m.path("link"))}
		if want[0].access != long+7 || want[0].modify != past+7 {
			t.Errorf("the file has the times %v", want[0])
		}
		m.succeed("wait", m.dir)
		m.remountCold()
		if got := [...]times{timesOf(t, m.path("file")), timesOf(t, m.path("dir")), timesOf(t, m.path("link"))}; got != want {
			t.Errorf("after a remount %v, want %v", got, want)
		}
	})
}

// TestSetIDIsDropped has root and somebody else write to files with setuid and setgid.
func TestSetIDIsDropped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	m := newMount(t, embedded(t), "--allow-other")
	letIn(t, m.dir)
	path := m.path("program")
	for _, c := range []struct {
		line  string
		uid   uint32
		plain bool // the mode has neither afterwards
	}{
		{"echo x >> ", 65534, true},  // past the page cache
		{"echo x 1<> ", 65534, true}, // through it
		{": > ", 65534, true},
		{"truncate -s 100 ", 65534, true},
		{"cat ", 65534, false},
		{"echo x >> ", 0, false},
		{": > ", 0, false},
	} {
		write(t, path, []byte("#!/bin/sh\n"))
		if err := unix.Chmod(path, 0o6777); err != nil {
			t.Fatal(err)
		}
		if err := runAs(c.uid, c.line+path); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		if got := st.Mode&0o6000 == 0; got != c.plain {
			t.Errorf("%sfile, as %d: the mode is %o", c.line, c.uid, st.Mode)
		}
	}
}

// TestLinksOfDirectories counts the ".." of subdirectories.
func TestLinksOfDirectories(t *testing.T) {
	m := newMount(t, embedded(t))
	links := func(name string) uint64 {
		t.Helper()
		info, err := os.Stat(m.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return uint64(info.Sys().(*syscall.Stat_t).Nlink)
	}
	check := func(name string, want uint64) {
		t.Helper()
		if got := links(name); got != want {
			t.Errorf("%s has %d links, want %d", name, got, want)
		}
	}
	shell(t, "cd "+m.dir+" && mkdir from to from/sub from/other && touch from/file")
	check("from", 4)
	check("to", 2)
	if err := os.Rename(m.path("from/sub"), m.path("to/sub")); err != nil {
		t.Fatal(err)
	}
	check("from", 3)
	check("to", 3)
	if err := os.Remove(m.path("to/sub")); err != nil {
		t.Fatal(err)
	}
	check("to", 2)
	m.remountCold()
	if _, err := os.ReadDir(m.path("from")); err != nil {
		t.Fatal(err)
	}
	check("from", 3)
}
