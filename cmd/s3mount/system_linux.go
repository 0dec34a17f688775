package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
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
	tmpfs = st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC
	return int64(st.Bavail) * st.Bsize, tmpfs, nil
}

// physicalMemory is the memory of the machine, or of the container.
func physicalMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	total := int64(uint64(info.Totalram) * uint64(info.Unit))
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n < total {
			total = n
		}
	}
	return total
}

// isOurMount reports whether a mount of s3mount is at the path.
func isOurMount(path string) bool {
	if parent, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(parent, filepath.Base(path))
	}
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		field := strings.Fields(lines.Text())
		if len(field) > 2 && field[2] == "fuse.s3mount" && mountEscapes.Replace(field[1]) == path {
			return true
		}
	}
	return false
}

// mountEscapes undoes what the kernel escapes in /proc/self/mounts.
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
