package fs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	noDeviceRemedy = "load the module with: modprobe fuse; in a container pass --device /dev/fuse --cap-add SYS_ADMIN"
	noHelperRemedy = "install the package fuse3, which brings fusermount3"
)

// directFlag is the open flag by which an application asks for no caching.
const directFlag = syscall.O_DIRECT

// capabilities asked of the kernel besides those go-fuse asks for: shared
// mmap of files that are open for direct I/O, and O_TRUNC as part of open.
const capabilities = fuse.CAP_DIRECT_IO_ALLOW_MMAP | fuse.CAP_ATOMIC_O_TRUNC

// platformOptions has root mount without the helper.
func platformOptions(o Options, m *fuse.MountOptions) {
	if os.Geteuid() == 0 {
		m.DirectMountStrict = true
		m.DirectMountFlags = syscall.MS_NOSUID | syscall.MS_NODEV
		if o.ReadOnly {
			m.DirectMountFlags |= syscall.MS_RDONLY
		}
		if o.NoExec {
			m.DirectMountFlags |= syscall.MS_NOEXEC
		}
		return
	}
	if o.ReadOnly {
		m.Options = append(m.Options, "ro")
	}
	if o.NoExec {
		m.Options = append(m.Options, "noexec")
	}
}

func checkDevice(Options) *MountError {
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return &MountError{Kind: ErrNoDevice, Err: err}
	}
	dev.Close()
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := helper(); err != nil {
		return &MountError{Kind: ErrNoHelper, Err: err}
	}
	return nil
}

func helper() (string, error) {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "fusermount", "/bin/fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("neither fusermount3 nor fusermount found")
}

func checkAllowOther(o Options) *MountError {
	if !o.AllowOther || os.Geteuid() == 0 {
		return nil
	}
	conf, err := os.ReadFile("/etc/fuse.conf")
	if err != nil {
		return &MountError{Kind: ErrAllowOther, Err: err}
	}
	for line := range strings.Lines(string(conf)) {
		if strings.TrimSpace(line) == "user_allow_other" {
			return nil
		}
	}
	return &MountError{Kind: ErrAllowOther}
}

// mounted reports whether a mount of ours is there: another one may be a
// volume that was mounted as the place for this one.
func mounted(dir string) bool {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		field := strings.Fields(lines.Text())
		if len(field) > 2 && unescape(field[1]) == dir && field[2] == "fuse."+fsName {
			return true
		}
	}
	return false
}

// unescape undoes the octal escapes of /proc/self/mounts.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// setReadAhead raises the readahead of the mount, which takes root.
func setReadAhead(mountpoint string, kib int) error {
	var st unix.Stat_t
	if err := unix.Stat(mountpoint, &st); err != nil {
		return err
	}
	path := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	return os.WriteFile(path, []byte(strconv.Itoa(kib)), 0)
}

// Detach removes a mountpoint at once; files that are open stay usable until
// they are closed, if their process still lives.
func Detach(mountpoint string) error {
	if os.Geteuid() == 0 {
		if err := unix.Unmount(mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("detach %s: %w", mountpoint, err)
		}
		return nil
	}
	bin, err := helper()
	if err != nil {
		return fmt.Errorf("detach %s: %w", mountpoint, err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(bin, "-u", "-z", mountpoint)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("detach %s: %w: %s", mountpoint, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}
