package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	mountfs "s3mount/fs"
	"s3mount/internal/s3"
)

// checkFUSE asks what a mount asks, for a directory that is surely good.
func checkFUSE(found *findings, allowOther bool) {
	dir, err := os.MkdirTemp("", "s3mount-doctor-")
	if err != nil {
		found.failErr("FUSE", err)
		return
	}
	defer os.Remove(dir)
	if err := mountfs.Check(mountfs.Options{Mountpoint: dir, AllowOther: allowOther}); err != nil {
		var m *mountfs.MountError
		if errors.As(err, &m) {
			found.fail("FUSE", m.Kind.Error(), m.Remedy())
			return
		}
		found.failErr("FUSE", err)
		return
	}
	found.ok("FUSE", "this user may mount")
}

// Limits of the system below which a busy mount fails.
const (
	minOpenFiles = 4096
	minMachine   = 512 << 20
)

func checkLimits(found *findings) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		found.failErr("open files", err)
	} else if limit.Max < minOpenFiles {
		found.fail("open files", fmt.Sprintf("the limit is %d", limit.Max), fmt.Sprintf("raise it with: ulimit -n %d", minOpenFiles))
	} else {
		found.ok("open files", "up to %d", limit.Max)
	}
	memory := physicalMemory()
	if memory > 0 && memory < minMachine {
		found.fail("memory", bytesText(memory)+" in all", "use a machine or a container with at least 512 MiB")
		return
	}
	found.ok("memory", "%s in all, a mount uses %v unless told otherwise", bytesText(memory), size(defaultMemory()))
}

// split parts an error into what is wrong and what to do.
func split(err error) (detail, remedy string) {
	var p *problem
	if errors.As(err, &p) {
		return p.cause, p.remedy
	}
	if remedy := remedyOf(err); remedy != "" {
		return err.Error(), remedy
	}
	var e *s3.Error
	if errors.As(err, &e) {
		return err.Error(), "ask whoever runs the S3 server, request " + strings.TrimSpace(e.RequestID)
	}
	return err.Error(), "see the message"
}
