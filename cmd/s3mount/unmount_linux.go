package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// unmount unmounts and fails with EBUSY while files are open there.
func unmount(mountpoint string) error {
	if os.Geteuid() == 0 {
		// The mountpoint is not followed: a link there is not ours.
		if err := unix.Unmount(mountpoint, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", mountpoint, err)
		}
		return nil
	}
	var said bytes.Buffer
	for _, helper := range []string{"fusermount3", "fusermount"} {
		cmd := exec.Command(helper, "-u", "--", mountpoint)
		cmd.Stderr = &said
		err := cmd.Run()
		if errors.Is(err, exec.ErrNotFound) {
			continue
		}
		if err == nil {
			return nil
		}
		if bytes.Contains(said.Bytes(), []byte("busy")) {
			err = syscall.EBUSY
		}
		return fmt.Errorf("unmount %s: %w (%s)", mountpoint, err, bytes.TrimSpace(said.Bytes()))
	}
	return &problem{cause: "fusermount3 is missing", remedy: "install the package fuse3"}
}
