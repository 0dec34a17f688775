//go:build !linux

package rig

import (
	"errors"
	"os"
	"syscall"
)

var errSystem = errors.New("the benchmark runs on Linux only")

func childAttributes() *syscall.SysProcAttr { return nil }
func mounted(string) bool                   { return false }
func unmount(string, bool) error            { return errSystem }

// Free needs Linux.
func Free(string) (int64, error) { return 0, errSystem }

// DropCaches needs Linux.
func DropCaches() error { return errSystem }

// InMemory needs Linux.
func InMemory(string) bool { return false }

// Memory needs Linux.
func Memory() (int64, error) { return 0, errSystem }

// Fdatasync needs Linux.
func Fdatasync(*os.File) error { return errSystem }
