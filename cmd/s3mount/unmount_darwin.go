package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// unmount unmounts and fails with EBUSY while files are open there.
func unmount(mountpoint string) error {
	if err := unix.Unmount(mountpoint, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", mountpoint, err)
	}
	return nil
}
