package journal

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// allocated is the bytes that a file takes on its disk.
func allocated(path string) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Blocks * 512, nil // POSIX: st_blocks counts 512 bytes on Linux and macOS
}

// writeFull is f.WriteAt that also counts what was written before an error.
func writeFull(f *os.File, p []byte, off int64) (done int, err error) {
	for done < len(p) {
		n, err := unix.Pwrite(int(f.Fd()), p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, &os.PathError{Op: "write", Path: f.Name(), Err: err}
		}
		if n == 0 {
			return done, &os.PathError{Op: "write", Path: f.Name(), Err: io.ErrShortWrite}
		}
		done += n
	}
	return done, nil
}

// openFiles is how many files the process may have open.
func openFiles() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<20))
}
