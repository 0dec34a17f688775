package s3

import (
	"sync"
	"time"
)

const (
	slotTime = 500 * time.Millisecond
	slots    = 10 // the rate is that of the last five seconds
)

// line is how the connections are doing now.
type line struct {
	mu      sync.Mutex
	bytes   [slots]int64 // sent, by time modulo slots
	slot    int64        // the present one, counted from time zero
	began   time.Time    // first byte after a pause of all slots
	failing time.Time    // first failure since the last answer; zero: the last request was answered
}

// Traffic is how the connections to the server are doing now.
type Traffic struct {
	// Up is the bytes per second that left this machine in the last five seconds.
	Up int64
	// FailingSince is when the first of the requests failed that all got no answer;
	// zero when the last one was answered.
	FailingSince time.Time
}

// Traffic tells how the connections are doing now.
func (b *Bucket) Traffic() Traffic {
	l := &b.http.line
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.turn(now)
	var sum int64
	for _, n := range l.bytes {
		sum += n
	}
	t := Traffic{FailingSince: l.failing}
	if sum > 0 {
		span := min(now.Sub(l.began), slotTime*(slots-1)+now.Sub(now.Truncate(slotTime)))
		t.Up = int64(float64(sum) / max(span, slotTime).Seconds())
	}
	return t
}

// turn empties the slots that are over. The caller holds l.mu.
func (l *line) turn(now time.Time) {
	slot := now.UnixNano() / int64(slotTime)
	if slot-l.slot >= slots {
		clear(l.bytes[:])
		l.began = now
	} else {
		for s := l.slot + 1; s <= slot; s++ {
			l.bytes[s%slots] = 0
		}
	}
	l.slot = max(slot, l.slot)
}

// sent counts bytes that were given to the network.
func (l *line) sent(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(time.Now())
	l.bytes[l.slot%slots] += int64(n)
}

// failed notes a request without an answer.
func (l *line) failed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing.IsZero() {
		l.failing = time.Now()
	}
}

// answered notes an answer, whatever it says.
func (l *line) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = time.Time{}
}
