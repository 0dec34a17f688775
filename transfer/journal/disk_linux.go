package journal

import (
	"os"

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
