//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// More operations of TestModel: those that end the mount, and those whose answers
// a local disk gives in its own way.

func (m *model) remount() {
	m.closeAll()
	m.trace = append(m.trace, "remount")
	m.mount.remount()
	m.compare()
}

// crash kills the mount while files are open for reading; what was closed stays.
func (m *model) crash() {
	for i := len(m.open) - 1; i >= 0; i-- {
		if m.open[i].writes || m.open[i].gone { // the objects of these are deleted with the close
			m.closeOne(i)
		}
	}
	m.trace = append(m.trace, "crash")
	m.mount.kill()
	for _, p := range m.open {
		p.local.Close()
		p.real.Close() // its mount is gone
	}
	m.open = nil
	m.mount.start()
	m.compare()
}

func (m *model) chown() {
	p, uid, gid := m.path(), m.rng.IntN(3000), m.rng.IntN(3000)
	m.both(fmt.Sprintf("chown %s %d:%d", p, uid, gid), func(root string) error {
		return os.Lchown(filepath.Join(root, p), uid, gid)
	})
}

// copyRange is what cp does inside one file system.
func (m *model) copyRange() {
	from, to := m.path(), m.path()
	n, whole := 1+m.rng.IntN(300_000), m.rng.IntN(2) == 0
	src, dst := m.offset(), m.offset()
	flags := os.O_WRONLY | os.O_CREATE
	if whole {
		n, src, dst, flags = 1<<30, 0, 0, flags|os.O_TRUNC
	}
	if from == to {
		return
	}
	var copied []int
	m.both(fmt.Sprintf("copy_file_range of %s to %s (%d from %d to %d)", from, to, n, src, dst), func(root string) error {
		in, err := os.Open(filepath.Join(root, from))
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(filepath.Join(root, to), flags, 0o644)
		if err != nil {
			return err
		}
		defer out.Close()
		done := 0
		for src, dst := src, dst; done < n; {
			k, err := unix.CopyFileRange(int(in.Fd()), &src, int(out.Fd()), &dst, n-done, 0)
			if err != nil {
				return err
			}
			if k == 0 {
				break
			}
			done += k
		}
		copied = append(copied, done)
		return out.Close()
	})
	if len(copied) == 2 && copied[0] != copied[1] {
		m.Errorf("copy_file_range of %s to %s: %d bytes, want %d", from, to, copied[0], copied[1])
	}
}

// readable picks an open file that may be read and that is not empty.
func (m *model) readable() (p *pair, size int64) {
	for _, i := range m.rng.Perm(len(m.open)) {
		if p := m.open[i]; p.reads {
			st, err := p.local.Stat()
			if err != nil {
				m.Fatal(err)
			}
			if st.Size() > 0 {
				return p, st.Size()
			}
		}
	}
	return nil, 0
}

// mapped reads through a mapping.
func (m *model) mapped() {
	p, size := m.readable()
	if p == nil {
		return
	}
	page := m.rng.Int64N(size) &^ 4095
	n := min(size-page, 1+m.rng.Int64N(200_000))
	mode := []int{unix.MAP_SHARED, unix.MAP_PRIVATE}[m.rng.IntN(2)]
	m.trace = append(m.trace, fmt.Sprintf("mmap, open as %s (%d at %d)", p.name, n, page))
	real, err := unix.Mmap(int(p.real.Fd()), page, int(n), unix.PROT_READ, mode)
	if err != nil {
		m.Errorf("%s: %v", m.trace[len(m.trace)-1], err)
		return
	}
	defer unix.Munmap(real)
	m.same("mapping of "+p.name, real, m.localBytes(p, page, n))
}

func (m *model) localBytes(p *pair, off, n int64) []byte {
	b, err := io.ReadAll(io.NewSectionReader(p.local, off, n))
	if err != nil {
		m.Fatal(err)
	}
	return b
}

// seek looks for data and holes. Where they are is the file system's to say, but what
// it leaves out must be zeros.
func (m *model) seek() {
	p, size := m.readable()
	if p == nil {
		return
	}
	off := m.rng.Int64N(size)
	m.trace = append(m.trace, fmt.Sprintf("seek data and hole, open as %s (%d of %d)", p.name, off, size))
	data, err := unix.Seek(int(p.real.Fd()), off, unix.SEEK_DATA)
	switch {
	case err == syscall.ENXIO:
		data = size
	case err != nil || data < off || data >= size:
		m.Errorf("%s: data at %d, %v", m.trace[len(m.trace)-1], data, err)
		return
	}
	if skipped := m.localBytes(p, off, data-off); len(bytes.Trim(skipped, "\x00")) > 0 {
		m.Errorf("%s: data at %d, but there are some before", m.trace[len(m.trace)-1], data)
	}
	hole, err := unix.Seek(int(p.real.Fd()), off, unix.SEEK_HOLE)
	if err != nil || hole < off || hole > size {
		m.Errorf("%s: a hole at %d, %v", m.trace[len(m.trace)-1], hole, err)
		return
	}
	if hole < size && len(bytes.Trim(m.localBytes(p, hole, 1), "\x00")) > 0 {
		m.Errorf("%s: a hole at %d, but data are there", m.trace[len(m.trace)-1], hole)
	}
	_, err = unix.Seek(int(p.real.Fd()), size, unix.SEEK_DATA)
	if err != syscall.ENXIO {
		m.Errorf("%s: data behind the end: %v", m.trace[len(m.trace)-1], err)
	}
}
