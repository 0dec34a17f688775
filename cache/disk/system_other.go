//go:build !linux

package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// diskSpace is what is free for us, and the size of the file system, in bytes.
func diskSpace(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

// preallocate is not offered here.
func preallocate(*os.File, int64, int64) error { return errors.ErrUnsupported }

// readSoon is left to the system's own readahead here.
func readSoon(*os.File, int64, int64) {}

// openDirect is not offered here.
func openDirect(string) *os.File { return nil }
