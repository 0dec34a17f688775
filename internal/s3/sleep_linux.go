package s3

import (
	"time"

	"golang.org/x/sys/unix"
)

// timeAsleep is how long this machine has slept since it started; 0 when it cannot tell.
func timeAsleep() time.Duration {
	return clock(unix.CLOCK_BOOTTIME) - clock(unix.CLOCK_MONOTONIC)
}

func clock(id int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
