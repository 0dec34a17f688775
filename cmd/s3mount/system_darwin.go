package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// filesystemOf gives the free bytes of a directory's file system, and whether
// it is in memory.
func filesystemOf(dir string) (free int64, tmpfs bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	tmpfs = unix.ByteSliceToString(st.Fstypename[:]) == "tmpfs"
	return int64(st.Bavail) * int64(st.Bsize), tmpfs, nil
}

// physicalMemory is the memory of the machine.
func physicalMemory() int64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int64(n)
}

// isOurMount reports whether a mount of s3mount is at the path.
func isOurMount(path string) bool {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return false
	}
	return unix.ByteSliceToString(st.Mntonname[:]) == path &&
		strings.HasPrefix(unix.ByteSliceToString(st.Mntfromname[:]), "s3mount:")
}
