package fs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Why a mount cannot be made.
var (
	ErrNoDevice          = errors.New("FUSE is not available")
	ErrNoHelper          = errors.New("the FUSE mount helper is missing")
	ErrMountpointMissing = errors.New("the mountpoint does not exist")
	ErrNotDirectory      = errors.New("the mountpoint is not a directory")
	ErrNotEmpty          = errors.New("the mountpoint is not empty")
	ErrNoAccess          = errors.New("the mountpoint cannot be read")
	ErrMounted           = errors.New("something is mounted there already")
	ErrStaleMount        = errors.New("the mountpoint belongs to a mount whose process is gone")
	ErrAllowOther        = errors.New("allow_other is not permitted")
	ErrRefused           = errors.New("the system refused the mount")
	ErrNoAnswer          = errors.New("the mount does not answer")
)

// MountError is a mount that could not be made.
type MountError struct {
	Mountpoint string
	Kind       error // one of the errors above
	Err        error // the cause, if there is more to say
}

func (e *MountError) Error() string {
	s := fmt.Sprintf("%s: %v", e.Mountpoint, e.Kind)
	if e.Err != nil {
		s += " (" + strings.TrimSpace(e.Err.Error()) + ")"
	}
	return s + ": " + e.Remedy()
}

// Unwrap makes errors.Is work for the kind and the cause.
func (e *MountError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Remedy is one line that says what to do.
func (e *MountError) Remedy() string {
	switch e.Kind {
	case ErrNoDevice:
		return noDeviceRemedy
	case ErrNoHelper:
		return noHelperRemedy
	case ErrMountpointMissing:
		return "create it with: mkdir -p " + e.Mountpoint
	case ErrNotDirectory:
		return "name a directory"
	case ErrNotEmpty:
		return "name an empty directory"
	case ErrNoAccess:
		return "check its owner and permissions"
	case ErrMounted:
		return "unmount it first with: s3mount umount " + e.Mountpoint
	case ErrStaleMount:
		return "detach it with: s3mount umount " + e.Mountpoint
	case ErrAllowOther:
		return "add the line user_allow_other to /etc/fuse.conf, or mount without --allow-other"
	case ErrNoAnswer:
		return "look into the log for the reason"
	}
	return "check that this user may mount (s3mount doctor)"
}

// Check says whether the mount could be made, without making it. An error is
// a *MountError.
func Check(o Options) error {
	for _, check := range []func(Options) *MountError{checkDirectory, checkDevice, checkAllowOther} {
		if err := check(o); err != nil {
			err.Mountpoint = o.Mountpoint
			return err
		}
	}
	return nil
}

func checkDirectory(o Options) *MountError {
	stale, err := Stale(o.Mountpoint)
	switch {
	case stale:
		return &MountError{Kind: ErrStaleMount}
	case errors.Is(err, os.ErrNotExist):
		return &MountError{Kind: ErrMountpointMissing}
	case errors.Is(err, syscall.ENOTDIR):
		return &MountError{Kind: ErrNotDirectory}
	case err != nil:
		return &MountError{Kind: ErrNoAccess, Err: err}
	}
	if st, err := os.Stat(o.Mountpoint); err != nil {
		return &MountError{Kind: ErrNoAccess, Err: err}
	} else if !st.IsDir() {
		return &MountError{Kind: ErrNotDirectory}
	}
	if mounted(o.Mountpoint) {
		return &MountError{Kind: ErrMounted}
	}
	return checkEmpty(o.Mountpoint)
}

func checkEmpty(dir string) *MountError {
	d, err := os.Open(dir)
	if err != nil {
		return &MountError{Kind: ErrNoAccess, Err: err}
	}
	defer d.Close()
	switch _, err := d.Readdirnames(1); {
	case err == nil:
		return &MountError{Kind: ErrNotEmpty}
	case !errors.Is(err, io.EOF):
		return &MountError{Kind: ErrNoAccess, Err: err}
	}
	return nil
}

// Stale reports whether the mountpoint is left over from a mount whose
// process is gone. Other errors of the mountpoint are returned as they are.
// It asks for the room there too: attributes may come from the kernel's memory, which
// outlives the process by the time that a listing is believed.
func Stale(mountpoint string) (bool, error) {
	_, err := os.Stat(mountpoint)
	if err == nil {
		err = statfs(mountpoint)
	}
	if errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) {
		return true, nil
	}
	return false, err
}

func statfs(path string) error {
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(path, &st); err != unix.EINTR {
			return err
		}
	}
}
