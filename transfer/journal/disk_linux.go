package journal

import (
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// onMemory tells whether the directory is on tmpfs or ramfs.
// Source of the numbers: statfs(2).
func onMemory(dir string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC, nil
}

// startWriteback asks the kernel to begin writing the range to the disk, and does
// not wait. It promises nothing: it makes a later sync short.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE) // what fails here fails again in the sync
}

// punch frees the range where the file system can.
func punch(f *os.File, off, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// openDirect opens a file for requests past the page cache; nil where the file
// system has none.
func openDirect(path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	return f
}

// writeVector writes adjacent buffers in as few requests as it can.
func writeVector(f *os.File, bufs [][]byte, off int64) error {
	for len(bufs) > 0 {
		n, err := unix.Pwritev(int(f.Fd()), bufs, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "write", Path: f.Name(), Err: err}
		}
		if n == 0 {
			return &os.PathError{Op: "write", Path: f.Name(), Err: io.ErrShortWrite}
		}
		off += int64(n)
		bufs = after(bufs, n)
	}
	return nil
}

// readVector fills adjacent buffers from off, past the page cache, in as few requests as it
// can; zeros behind the end.
func readVector(f *os.File, bufs [][]byte, off int64) error {
	bufs = slices.Clone(bufs)
	for len(bufs) > 0 {
		n, err := unix.Preadv(int(f.Fd()), bufs, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "read", Path: f.Name(), Err: err}
		}
		off += int64(n)
		end := n == 0 || n%directAlign != 0
		bufs = after(bufs, n)
		if end {
			for _, buf := range bufs {
				clear(buf)
			}
			return nil
		}
	}
	return nil
}

// after is what is left of the buffers when the first n bytes are done. It changes bufs.
func after(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}

// syncData makes the bytes durable, and what is needed to read them.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "sync", Path: f.Name(), Err: err}
		}
	}
}
