package s3

import (
	"sync/atomic"
	"time"
)

// shortSleep is what two clocks may differ by without a sleep.
const shortSleep = time.Second

// sleeper notices that this machine was asleep. Timers stand still meanwhile, so idle
// connections look young afterwards, while servers and routers have forgotten them.
type sleeper struct {
	asleep func() time.Duration // since the start of the machine
	last   atomic.Int64         // asleep at the last request, in nanoseconds
}

func (s *sleeper) start(asleep func() time.Duration) {
	if s.asleep = asleep; asleep == nil {
		s.asleep = timeAsleep
	}
	s.last.Store(int64(s.asleep()))
}

// woke reports, once for each sleep, that there was one since the last call.
func (s *sleeper) woke() bool {
	now := int64(s.asleep())
	return now-s.last.Swap(now) > int64(shortSleep)
}
