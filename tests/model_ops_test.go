//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The operations of TestModel. Each picks its arguments at random, does the
// same on both trees and compares what came back.

func (m *model) writeFile() {
	p, data := m.path(), m.data()
	m.both(fmt.Sprintf("write %s (%d)", p, len(data)), func(root string) error {
		return os.WriteFile(filepath.Join(root, p), data, 0o644)
	})
}

func (m *model) readFile() {
	p := m.path()
	var got [][]byte
	m.both("read "+p, func(root string) error {
		b, err := os.ReadFile(filepath.Join(root, p))
		got = append(got, b)
		return err
	})
	m.same("content of "+p, got[0], got[1])
}

func (m *model) same(what string, real, local []byte) {
	if bytes.Equal(real, local) {
		return
	}
	i := 0
	for i < min(len(real), len(local)) && real[i] == local[i] {
		i++
	}
	m.Errorf("%s: %d bytes, want %d; first difference at %d", what, len(real), len(local), i)
}

func (m *model) patchFile() {
	p, data, off, flags := m.path(), m.data(), m.offset(), os.O_WRONLY
	if m.rng.IntN(2) == 0 {
		flags = os.O_RDWR
	}
	m.both(fmt.Sprintf("patch %s (%d at %d, flags %d)", p, len(data), off, flags), func(root string) error {
		f, err := os.OpenFile(filepath.Join(root, p), flags, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(data, off)
		return firstOf(err, f.Close())
	})
}

func (m *model) appendFile() {
	p, data := m.path(), m.data()
	m.both(fmt.Sprintf("append %s (%d)", p, len(data)), func(root string) error {
		f, err := os.OpenFile(filepath.Join(root, p), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return firstOf(err, f.Close())
	})
}

func (m *model) truncate() {
	p, size := m.path(), m.offset()
	m.both(fmt.Sprintf("truncate %s to %d", p, size), func(root string) error {
		return os.Truncate(filepath.Join(root, p), size)
	})
}

func (m *model) openFile() {
	if len(m.open) >= 6 {
		return
	}
	p := m.path()
	if len(m.open) > 0 && m.rng.IntN(3) == 0 { // several descriptors of one file
		p = m.open[m.rng.IntN(len(m.open))].name
	}
	flags := []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_CREATE | os.O_TRUNC}[m.rng.IntN(5)]
	var files []*os.File
	ok := m.both(fmt.Sprintf("open %s (flags %#x)", p, flags), func(root string) error {
		f, err := os.OpenFile(filepath.Join(root, p), flags, 0o640)
		files = append(files, f)
		return err
	})
	if ok {
		if st, err := files[1].Stat(); err != nil || st.IsDir() {
			files[0].Close()
			files[1].Close()
			return
		}
	}
	if ok && !m.Failed() {
		mode := flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
		m.open = append(m.open, &pair{name: p, real: files[0], local: files[1], reads: mode != os.O_WRONLY, writes: mode != os.O_RDONLY})
	}
}

func (m *model) useFile() {
	if len(m.open) == 0 {
		return
	}
	p := m.open[m.rng.IntN(len(m.open))]
	data, off := m.data(), m.offset()
	each := func(what string, f func(*os.File) error) {
		m.trace = append(m.trace, fmt.Sprintf("%s, open as %s (%d at %d)", what, p.name, len(data), off))
		if real, local := f(p.real), f(p.local); errnoOf(real) != errnoOf(local) {
			m.Errorf("%s: %v, on a local disk %v", m.trace[len(m.trace)-1], real, local)
		}
	}
	switch n := m.rng.IntN(10); {
	case n < 4 && p.writes:
		each("pwrite", func(f *os.File) error { _, err := f.WriteAt(data, off); return err })
	case n < 5 && p.writes:
		each("ftruncate", func(f *os.File) error { return f.Truncate(off) })
	case n < 6 && p.writes:
		each("punch", func(f *os.File) error {
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, int64(len(data))+1)
		})
	case n < 7 && p.writes:
		each("fallocate", func(f *os.File) error { return unix.Fallocate(int(f.Fd()), 0, off, int64(len(data))+1) })
	case n < 8:
		each("fsync", func(f *os.File) error { return f.Sync() })
	case p.reads:
		var got [][]byte
		each("pread", func(f *os.File) error {
			b := make([]byte, len(data))
			n, err := f.ReadAt(b, off)
			got = append(got, b[:n])
			if err == io.EOF {
				err = nil
			}
			return err
		})
		m.same("pread of "+p.name, got[0], got[1])
	}
}

func (m *model) closeFile() {
	if len(m.open) > 0 {
		m.closeOne(m.rng.IntN(len(m.open)))
	}
}

func (m *model) closeOne(i int) {
	p := m.open[i]
	m.open = slices.Delete(m.open, i, i+1)
	m.trace = append(m.trace, "close, open as "+p.name)
	p.local.Close()
	if err := p.real.Close(); err != nil {
		m.Errorf("close of %s: %v", p.name, err)
	}
}

func (m *model) closeAll() {
	for len(m.open) > 0 {
		m.closeOne(0)
	}
}

func (m *model) rename() {
	from, to := m.path(), m.path()
	if m.rng.IntN(4) == 0 {
		from = m.dir()
	}
	if m.rng.IntN(6) == 0 {
		to = m.dir()
	}
	if from == "" || to == "" || m.blocked(to) {
		return
	}
	ok := m.both("rename "+from+" to "+to, func(root string) error {
		return syscall.Rename(filepath.Join(root, from), filepath.Join(root, to))
	})
	if !ok || from == to {
		return
	}
	for _, p := range m.open {
		rest, below := strings.CutPrefix(p.name+"/", from+"/")
		switch {
		case p.gone:
		case p.name == to:
			p.gone = true
		case below:
			p.name = strings.TrimSuffix(to+"/"+rest, "/")
		}
	}
}

// blocked tells whether a store of files and directories has no room for a directory
// here: the object of an unlinked file stays until its last close, and such a store
// cannot have it beside a directory of that name.
func (m *model) blocked(dir string) bool {
	return m.mount.srv.name == "embedded" && slices.ContainsFunc(m.open, func(p *pair) bool {
		return p.gone && strings.HasPrefix(p.name+"/", dir+"/")
	})
}

func (m *model) unlink() {
	p := m.path()
	if !m.both("unlink "+p, func(root string) error { return syscall.Unlink(filepath.Join(root, p)) }) {
		return
	}
	for _, o := range m.open {
		o.gone = o.gone || o.name == p
	}
}

func (m *model) mkdir() {
	p := m.dir()
	if m.blocked(p) {
		return
	}
	m.both("mkdir "+p, func(root string) error { return os.Mkdir(filepath.Join(root, p), 0o755) })
}

func (m *model) rmdir() {
	p := m.dir()
	if p == "" {
		return
	}
	m.both("rmdir "+p, func(root string) error { return syscall.Rmdir(filepath.Join(root, p)) })
}

func (m *model) symlink() {
	p, target := m.path(), someNames[m.rng.IntN(len(someNames))]
	if filepath.Base(p) == target {
		return
	}
	m.both("symlink "+p+" to "+target, func(root string) error { return os.Symlink(target, filepath.Join(root, p)) })
}

func (m *model) chmod() {
	p, mode := m.path(), os.FileMode(0o600|m.rng.IntN(0o100))
	m.both(fmt.Sprintf("chmod %s %v", p, mode), func(root string) error { return os.Chmod(filepath.Join(root, p), mode) })
}

func (m *model) utimes() {
	p, when := m.path(), time.Unix(m.rng.Int64N(1.7e9), m.rng.Int64N(1e9))
	m.both("utimes "+p, func(root string) error { return os.Chtimes(filepath.Join(root, p), when, when) })
	var got []time.Time
	m.both("mtime "+p, func(root string) error {
		st, err := os.Stat(filepath.Join(root, p))
		if err == nil {
			got = append(got, st.ModTime())
		}
		return err
	})
	if len(got) == 2 && !got[0].Equal(got[1]) {
		m.Errorf("mtime of %s: %v, want %v", p, got[0], got[1])
	}
}

func (m *model) xattr() {
	p, name, value := m.path(), "user.x"+strconv.Itoa(m.rng.IntN(2)), []byte(strconv.Itoa(m.rng.IntN(1000)))
	if m.rng.IntN(2) == 0 {
		m.both("setxattr "+p+" "+name, func(root string) error { return unix.Setxattr(filepath.Join(root, p), name, value, 0) })
		return
	}
	var got [][]byte
	m.both("getxattr "+p+" "+name, func(root string) error {
		b := make([]byte, 100)
		n, err := unix.Getxattr(filepath.Join(root, p), name, b)
		got = append(got, b[:max(n, 0)])
		return err
	})
	m.same("xattr of "+p, got[0], got[1])
}

func (m *model) list() {
	p := m.dir()
	var got []string
	m.both("list "+p, func(root string) error {
		entries, err := os.ReadDir(filepath.Join(root, p))
		var names []string
		for _, e := range entries {
			names = append(names, e.Name()+" "+e.Type().String())
		}
		got = append(got, strings.Join(names, "\n"))
		return err
	})
	if got[0] != got[1] {
		m.Errorf("list of %q:\n%s\nwant:\n%s", p, got[0], got[1])
	}
}

func (m *model) stat() {
	p := m.path()
	var got []string
	m.both("stat "+p, func(root string) error {
		st, err := os.Lstat(filepath.Join(root, p))
		got = append(got, describe(st))
		return err
	})
	if got[0] != got[1] {
		m.Errorf("stat of %s: %s, want %s", p, got[0], got[1])
	}
}

// describe is what stat must say alike. Directories have sizes and link
// counts of their own on every file system.
func describe(st os.FileInfo) string {
	if st == nil {
		return "nothing"
	}
	if st.IsDir() {
		return st.Mode().String()
	}
	sys := st.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v size %d nlink %d owner %d:%d", st.Mode(), st.Size(), sys.Nlink, sys.Uid, sys.Gid)
}

func (m *model) exclusive() {
	p := m.path()
	m.both("create "+p+" exclusively", func(root string) error {
		f, err := os.OpenFile(filepath.Join(root, p), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	})
}
