package fs

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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

// A program that tries the same again and again fills no log, and no other failure is lost by it.
func TestFailuresOfOneKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := failures{kinds: map[string]*failureKind{}}
		lines := func(kind string, n int) (shown, leftOut int) {
			for range n {
				more, ok := f.note(kind)
				if leftOut += more; ok {
					shown++
				}
			}
			return shown, leftOut
		}
		if shown, more := lines("a", 1000); shown != failuresShown || more != 0 {
			t.Errorf("%d lines, %d left out before them", shown, more)
		}
		if shown, _ := lines("b", 1); shown != 1 {
			t.Error("another kind has no line")
		}
		time.Sleep(failuresTime)
		if shown, more := lines("a", 3); shown != 3 || more != 1000-failuresShown {
			t.Errorf("later: %d lines, %d left out before them", shown, more)
		}
		time.Sleep(failuresTime)
		if _, more := lines("a", 1); more != 0 {
			t.Errorf("%d left out that had lines", more)
		}
	})
}
