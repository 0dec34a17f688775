package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how late the timers of the process may be: twice the default. With a millisecond
// it was the scheduler that was late: calls of programs took twice as long.
const timerSlack = 100 * time.Microsecond

// relaxedEnv tells the process that it has begun anew, so that it does not do so for ever
// where an execve takes the slack away.
const relaxedEnv = "S3MOUNT_RELAXED"

// relax makes the Go runtime's scheduler cheaper for a process that mostly waits in system
// calls. Its monitor thread wakes every 20 µs to take processors (GOMAXPROCS) from
// threads that stay in one, which took a sixth of the CPU of a mount that was written to. With timers
// that may be later it wakes less often.
//
// Threads inherit the slack from the one that starts them, and an execve keeps it: so the
// process begins anew. Where that cannot be it stays as it is. See prctl(2), PR_SET_TIMERSLACK.
func relax() {
	again := os.Getenv(relaxedEnv) != ""
	os.Unsetenv(relaxedEnv)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if again || slack() >= timerSlack {
		return
	}
	self, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0) != nil || slack() < timerSlack {
		return
	}
	_ = syscall.Exec(self, os.Args, append(os.Environ(), relaxedEnv+"=1")) // returns only when it failed
}

// slack is that of the calling thread.
func slack() time.Duration {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return time.Duration(ns)
}
