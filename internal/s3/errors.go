package s3

import (
	"errors"
	"fmt"
	"strings"
)

// The closed list of kinds. Every error of this package is an *Error whose
// Kind is one of them (or context.Canceled), so errors.Is(err, ErrX) holds.
var (
	ErrNotFound     = errors.New("no such object")
	ErrNoBucket     = errors.New("no such bucket")
	ErrNoUpload     = errors.New("no such multipart upload")
	ErrDenied       = errors.New("access denied")
	ErrCredentials  = errors.New("credentials not accepted")
	ErrWrongRegion  = errors.New("bucket is in another region")
	ErrClockSkew    = errors.New("clock differs too much from the server's")
	ErrPrecondition = errors.New("precondition failed")
	ErrConflict     = errors.New("conflicting operation in progress")
	ErrChanged      = errors.New("object changed")
	ErrThrottled    = errors.New("server asks to slow down")
	ErrServer       = errors.New("server error")
	ErrUnavailable  = errors.New("server cannot be reached")
	ErrTimeout      = errors.New("no answer in time")
	ErrArchived     = errors.New("object is archived")
	ErrBadDigest    = errors.New("bytes were damaged on the way")
	ErrUnsupported  = errors.New("not supported by this server")
	ErrBadKey       = errors.New("the server takes no such key")
	ErrInvalid      = errors.New("request refused")
)

// Error is a failed operation on the bucket.
type Error struct {
	Op        string // "GetObject", "UploadPart", ...
	Key       string // empty for operations on the bucket
	Kind      error  // one of the Err values, or a context error
	Code      string // the server's code, such as "SlowDown"; may be empty
	Status    int    // HTTP status; 0 when no answer came
	RequestID string
	Region    string // the bucket's region, when the server tells it
	Detail    string // one line, without secrets
	Err       error  // the cause; may be nil
}

// Error is one line: operation, key, kind, and what the server said.
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(e.Op)
	if e.Key != "" {
		fmt.Fprintf(&s, " %q", e.Key)
	}
	s.WriteString(": ")
	s.WriteString(e.Kind.Error())
	if e.Detail != "" {
		s.WriteString(": " + e.Detail)
	}
	switch {
	case e.Code != "" && e.Status != 0:
		fmt.Fprintf(&s, " (%d %s)", e.Status, e.Code)
	case e.Status != 0:
		fmt.Fprintf(&s, " (%d)", e.Status)
	case e.Code != "":
		fmt.Fprintf(&s, " (%s)", e.Code)
	}
	return s.String()
}

// Is matches the kind.
func (e *Error) Is(target error) bool { return errors.Is(e.Kind, target) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable says whether the same request may succeed later, unchanged.
func Retryable(err error) bool {
	for _, kind := range []error{ErrThrottled, ErrServer, ErrUnavailable, ErrTimeout, ErrBadDigest, ErrConflict} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
