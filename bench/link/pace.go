package link

import (
	"sync"
	"time"
)

// credit is how much unused time a line may make up for. Timers fire late by
// up to a millisecond; without it each late timer would cost bandwidth.
const credit = 4 * time.Millisecond

// pace is a line that carries a fixed number of bytes a second: what is booked
// leaves one after another.
type pace struct {
	rate float64 // bytes a second; 0: no limit

	mu   sync.Mutex
	free time.Time // when all that was booked has left
}

// book takes the line for n bytes and returns when the last of them leaves,
// which is before now while the line makes up for unused time.
func (p *pace) book(now time.Time, n int) time.Time {
	if p.rate <= 0 {
		return now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if oldest := now.Add(-credit); p.free.Before(oldest) {
		p.free = oldest
	}
	p.free = p.free.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	return p.free
}

// pass books n bytes and waits until they leave, to within the credit. It
// returns when they do leave.
func (p *pace) pass(n int) time.Time {
	left := p.book(time.Now(), n)
	if wait := time.Until(left) - credit; wait > 0 {
		time.Sleep(wait)
	}
	return left
}
