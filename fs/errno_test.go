package fs

import (
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fs"

	"s3mount/internal/names"
)

func TestErrnoOfEveryClass(t *testing.T) {
	want := map[names.Class]syscall.Errno{
		names.ClassNotExist:     syscall.ENOENT,
		names.ClassExist:        syscall.EEXIST,
		names.ClassNotDir:       syscall.ENOTDIR,
		names.ClassIsDir:        syscall.EISDIR,
		names.ClassNotEmpty:     syscall.ENOTEMPTY,
		names.ClassNameTooLong:  syscall.ENAMETOOLONG,
		names.ClassNoAttr:       gofuse.ENOATTR,
		names.ClassNotSupported: syscall.EOPNOTSUPP,
		names.ClassInvalid:      syscall.EINVAL,
		names.ClassOffline:      syscall.ENETDOWN,
		names.ClassNoSpace:      syscall.ENOSPC,
		names.ClassReadOnly:     syscall.EROFS,
		names.ClassDenied:       syscall.EACCES,
		names.ClassArchived:     syscall.ENODATA,
		names.ClassStale:        syscall.ESTALE,
		names.ClassInterrupted:  syscall.EINTR,
		names.ClassTooBig:       syscall.EFBIG,
		names.ClassTimeout:      syscall.ETIMEDOUT,
		names.ClassNotUTF8:      syscall.EILSEQ,
		names.ClassIO:           syscall.EIO,
	}
	for class, errno := range want {
		if got := errnoOf(class); got != errno {
			t.Errorf("errnoOf(%v) = %v, want %v", class, got, errno)
		}
	}
}

func TestErrnoOfUnknownClassIsEIO(t *testing.T) {
	if got := errnoOf(names.Class(255)); got != syscall.EIO {
		t.Errorf("errnoOf(255) = %v, want EIO", got)
	}
}
