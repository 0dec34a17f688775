package fs

import (
	"errors"
	"fmt"
	"os"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	noDeviceRemedy = "install macFUSE from https://macfuse.io and allow its system extension"
	noHelperRemedy = noDeviceRemedy
)

// directFlag: macOS asks by fcntl, which a file system does not see.
const directFlag = 0

// capabilities asked of the kernel besides those go-fuse asks for.
const capabilities = 0

func platformOptions(o Options, m *fuse.MountOptions) {
	if o.ReadOnly {
		m.Options = append(m.Options, "rdonly")
	}
	if o.NoExec {
		m.Options = append(m.Options, "noexec")
	}
}

func checkDevice(Options) *MountError {
	const path = "/Library/Filesystems/macfuse.fs/Contents/Resources/mount_macfuse"
	if _, err := os.Stat(path); err != nil {
		return &MountError{Kind: ErrNoHelper, Err: err}
	}
	return nil
}

func checkAllowOther(Options) *MountError { return nil }

func mounted(string) bool { return false }

func setReadAhead(string, int) error { return errors.New("not adjustable on this system") }

// Detach removes a mountpoint by force.
func Detach(mountpoint string) error {
	if err := unix.Unmount(mountpoint, unix.MNT_FORCE); err != nil {
		return fmt.Errorf("detach %s: %w", mountpoint, err)
	}
	return nil
}
