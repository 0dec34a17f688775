package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes puts a child into a session of its own, by which its
// processes are found, and ends it when the benchmark dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
}

// mounted says whether a file system is mounted at dir. A dead mount answers
// with an error and counts.
func mounted(dir string) bool {
	var own, parent unix.Stat_t
	if err := unix.Lstat(dir, &own); err != nil {
		return err != unix.ENOENT
	}
	if err := unix.Lstat(filepath.Dir(dir), &parent); err != nil {
		return false
	}
	return own.Dev != parent.Dev
}

func unmount(dir string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	if err := unix.Unmount(dir, flags); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// Free is how many bytes a directory has room for.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("look for room in %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// DropCaches makes the kernel forget what it has read, as root.
func DropCaches() error {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// InMemory says whether a directory lies in memory.
func InMemory(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.TMPFS_MAGIC
}

// Memory is how many bytes the machine has.
func Memory() (int64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("ask for the memory: %w", err)
	}
	return int64(info.Totalram) * int64(info.Unit), nil
}

// Fdatasync makes the bytes of a file durable.
func Fdatasync(f *os.File) error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	return nil
}
