package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// minFree is the least free space in the cache directory for a mount.
const minFree = 16 << 20

// defaultCacheDir is $XDG_CACHE_HOME/s3mount or ~/.cache/s3mount; empty when
// there is neither.
func defaultCacheDir() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "s3mount")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache", "s3mount")
}

// checkCacheDir makes the directory if need be, and finds out whether files
// can wait there: it must be writable, have room, survive a reboot, and be
// outside of the mount.
func checkCacheDir(dir, mountpoint string, allowTmpfs bool) error {
	if dir == mountpoint || strings.HasPrefix(dir+"/", strings.TrimSuffix(mountpoint, "/")+"/") {
		return &problem{cause: fmt.Sprintf("the cache directory %s is inside the mountpoint", dir), remedy: "name another one with --cache-dir"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cacheProblem("cannot make the cache directory", dir, err)
	}
	free, tmpfs, err := filesystemOf(dir)
	if err != nil {
		return cacheProblem("cannot use the cache directory", dir, err)
	}
	if tmpfs && !allowTmpfs {
		return &problem{
			cause:  fmt.Sprintf("the cache directory %s is in memory (tmpfs), where a crash of the machine loses files that are not in the bucket yet", dir),
			remedy: "name one on a disk with --cache-dir, or accept it with --allow-tmpfs",
		}
	}
	if err := tryWrite(dir); err != nil {
		return cacheProblem("cannot write to the cache directory", dir, err)
	}
	if free < minFree {
		return &problem{cause: fmt.Sprintf("the cache directory %s has only %s free", dir, bytesText(free)), remedy: "make room there, or name another one with --cache-dir", err: syscall.ENOSPC}
	}
	return nil
}

// tryWrite writes a block and syncs it: some disks are full only then.
func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".try-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(make([]byte, 64<<10)); err != nil {
		return err
	}
	return f.Sync()
}

func cacheProblem(what, dir string, err error) error {
	remedy := "check its owner and permissions, or name another one with --cache-dir"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		remedy = "make room there, or name another one with --cache-dir"
	}
	return &problem{cause: pathError(what, dir, err), remedy: remedy, err: err}
}

// freeBytes is the free space of a directory's file system.
func freeBytes(dir string) (int64, error) {
	free, _, err := filesystemOf(dir)
	return free, err
}
