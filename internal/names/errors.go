package names

import (
	"context"
	"errors"
	"os"

	"s3mount/internal/s3"
	"s3mount/transfer"

	"golang.org/x/sys/unix"
)

// Errors of this package.
var (
	ErrNotExist     = errors.New("no such file or directory")
	ErrExist        = errors.New("file exists")
	ErrNotDir       = errors.New("not a directory")
	ErrIsDir        = errors.New("is a directory")
	ErrNotEmpty     = errors.New("directory not empty")
	ErrNameTooLong  = errors.New("name or key too long")
	ErrNoAttr       = errors.New("no such extended attribute")
	ErrNotSupported = errors.New("not supported")
	ErrNotUTF8      = errors.New("a new name that is no UTF-8, as keys are")
	ErrInvalid      = errors.New("invalid name or argument")
	ErrNoSpace      = errors.New("does not fit into the object's metadata (2 KiB)")
	ErrReadOnly     = errors.New("read-only mount")
	ErrTooBig       = errors.New("value too big")
)

// Class is what went wrong, as far as an application is concerned.
type Class uint8

// The closed list of classes; fs maps each to an errno.
const (
	ClassIO Class = iota
	ClassNotExist
	ClassExist
	ClassNotDir
	ClassIsDir
	ClassNotEmpty
	ClassNameTooLong
	ClassNoAttr
	ClassNotSupported
	ClassInvalid
	ClassOffline
	ClassNoSpace
	ClassReadOnly
	ClassDenied
	ClassArchived
	ClassStale
	ClassInterrupted
	ClassTooBig
	ClassTimeout
	ClassNotUTF8
)

// classes in the order in which they are tried.
var classes = []struct {
	err   error
	class Class
}{
	{ErrNotExist, ClassNotExist}, {ErrExist, ClassExist}, {ErrNotDir, ClassNotDir}, {ErrIsDir, ClassIsDir},
	{ErrNotEmpty, ClassNotEmpty}, {ErrNameTooLong, ClassNameTooLong}, {ErrNoAttr, ClassNoAttr},
	{ErrNotSupported, ClassNotSupported}, {ErrInvalid, ClassInvalid}, {ErrNotUTF8, ClassNotUTF8}, {ErrNoSpace, ClassNoSpace}, {ErrReadOnly, ClassReadOnly},
	{transfer.ErrStale, ClassStale}, {transfer.ErrSpoolFull, ClassNoSpace}, {transfer.ErrTooBig, ClassTooBig}, {ErrTooBig, ClassTooBig},
	{transfer.ErrConflict, ClassStale}, {unix.ENOSPC, ClassNoSpace}, {unix.EDQUOT, ClassNoSpace},
	{context.Canceled, ClassInterrupted},
	{s3.ErrNotFound, ClassNotExist}, {s3.ErrDenied, ClassDenied}, {s3.ErrCredentials, ClassDenied},
	{s3.ErrArchived, ClassArchived}, {s3.ErrChanged, ClassStale}, {s3.ErrUnavailable, ClassOffline},
	{s3.ErrTimeout, ClassTimeout}, {s3.ErrUnsupported, ClassNotSupported}, {s3.ErrBadKey, ClassInvalid}, {context.DeadlineExceeded, ClassTimeout},
	{os.ErrDeadlineExceeded, ClassTimeout},
}

// Classify finds the class of an error of this package, of transfer or of the
// bucket. Everything unknown is ClassIO.
func Classify(err error) Class {
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.class
		}
	}
	return ClassIO
}
