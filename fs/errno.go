package fs

import (
	"sync"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"

	"s3mount/internal/names"
)

// errnoOf is the one table from kinds of errors to what applications see.
func errnoOf(c names.Class) syscall.Errno {
	switch c {
	case names.ClassNotExist:
		return syscall.ENOENT
	case names.ClassExist:
		return syscall.EEXIST
	case names.ClassNotDir:
		return syscall.ENOTDIR
	case names.ClassIsDir:
		return syscall.EISDIR
	case names.ClassNotEmpty:
		return syscall.ENOTEMPTY
	case names.ClassNameTooLong:
		return syscall.ENAMETOOLONG
	case names.ClassNoAttr:
		return gofuse.ENOATTR
	case names.ClassNotSupported:
		return syscall.EOPNOTSUPP
	case names.ClassInvalid:
		return syscall.EINVAL
	case names.ClassOffline:
		return syscall.ENETDOWN
	case names.ClassNoSpace:
		return syscall.ENOSPC
	case names.ClassReadOnly:
		return syscall.EROFS
	case names.ClassDenied:
		return syscall.EACCES
	case names.ClassArchived:
		// "No data available": the object is there, its bytes are not.
		return syscall.ENODATA
	case names.ClassStale:
		return syscall.ESTALE
	case names.ClassInterrupted:
		return syscall.EINTR
	case names.ClassTooBig:
		return syscall.EFBIG
	case names.ClassTimeout:
		return syscall.ETIMEDOUT
	case names.ClassNotUTF8:
		return syscall.EILSEQ
	}
	return syscall.EIO
}

// expected are the classes that are answers rather than faults: an
// application asks whether a name exists by trying.
func expected(c names.Class) bool {
	switch c {
	case names.ClassNotExist, names.ClassExist, names.ClassNotDir, names.ClassIsDir, names.ClassNotEmpty,
		names.ClassNameTooLong, names.ClassNoAttr, names.ClassNotSupported, names.ClassInvalid, names.ClassNotUTF8, names.ClassInterrupted:
		return true
	}
	return false
}

// fail maps an error of an operation on n and logs it, once, here.
func (n *node) fail(c *call, op string, err error, attrs ...any) syscall.Errno {
	class := names.Classify(err)
	errno := errnoOf(class)
	if class == names.ClassInterrupted && !c.interrupted() {
		// The wait ended, but not through the caller: the mount is closing.
		errno = syscall.EIO
	}
	attrs = append(attrs, "op", op, "ino", n.names.Ino(), "errno", errno.Error(), "err", err)
	if expected(class) && errno != syscall.EIO {
		n.fs.log.Debug("request refused", attrs...)
	} else if more, ok := n.fs.failures.note(op + errno.Error()); ok {
		if more > 0 {
			attrs = append(attrs, "left_out", more)
		}
		n.fs.log.Warn("request failed", attrs...)
	} else {
		n.fs.log.Debug("request failed", attrs...)
	}
	return errno
}

const (
	// failuresTime is how long failures of one kind are counted together,
	// and failuresShown how many of them get a line in the log.
	failuresTime  = 10 * time.Second
	failuresShown = 10
)

// failures keeps a program that tries the same for ever from filling the log.
type failures struct {
	mu    sync.Mutex
	kinds map[string]*failureKind
}

type failureKind struct {
	since time.Time
	count int
}

// note counts a failure. It tells whether it gets a line, and how many of its
// kind had none before.
func (f *failures) note(kind string) (leftOut int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, now := f.kinds[kind], time.Now()
	if k == nil || now.Sub(k.since) >= failuresTime {
		if k != nil {
			leftOut = max(0, k.count-failuresShown)
		}
		k = &failureKind{since: now}
		f.kinds[kind] = k
	}
	k.count++
	return leftOut, k.count <= failuresShown
}
