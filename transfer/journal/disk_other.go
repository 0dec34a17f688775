//go:build !linux

package journal

import (
	"errors"
	"os"
)

// onMemory tells whether the directory is on a memory file system; such are not
// mounted by default outside of Linux.
func onMemory(string) (bool, error) { return false, nil }

// startWriteback is left to the kernel here.
func startWriteback(*os.File, int64, int64) {}

// punch is not offered here: the caller writes zeros.
func punch(*os.File, int64, int64) error { return errors.ErrUnsupported }

// openDirect: everything goes through the page cache here.
func openDirect(string) *os.File { return nil }

// writeVector is not used without openDirect.
func writeVector(*os.File, [][]byte, int64) error { return errors.ErrUnsupported }

// readVector is not used without openDirect.
func readVector(*os.File, [][]byte, int64) error { return errors.ErrUnsupported }

// syncData makes the bytes durable, and what is needed to read them.
func syncData(f *os.File) error { return f.Sync() }
