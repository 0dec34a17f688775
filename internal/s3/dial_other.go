//go:build !linux

package s3

import (
	"errors"
	"syscall"
)

// limitUnacknowledged has no counterpart here; the wait for the answer ends
// such a request.
func limitUnacknowledged(network, address string, c syscall.RawConn) error { return nil }

// setLowMark has no counterpart here that is known to work.
func setLowMark(syscall.RawConn, int) error { return errors.ErrUnsupported }
