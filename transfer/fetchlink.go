package transfer

import (
	"sync"
	"time"
)

const (
	// linkEpoch is how long bytes are counted for one measurement of the rate; longer, up to
	// linkLong, where fewer than linkBytes came.
	linkEpoch = 100 * time.Millisecond
	linkLong  = time.Second
	linkBytes = 1 << 20
	// linkNarrow and linkWide are how many requests are taken to fill the link, at least and at most.
	linkNarrow = 8
	linkWide   = 64
	// linkAlone is how many requests may be under way at the end of one that had what one can have.
	linkAlone = 3
	// linkForgets is the part of the rate that each measurement below it takes away: one of
	// a second in which the reader did not ask for all is soon forgotten, and so is a
	// link that has become slow.
	linkForgets = 8
)

// fetchLink is what the mount learned about the way to the bucket. What one file taught
// serves the next: its window opens at once.
type fetchLink struct {
	mu        sync.Mutex
	roundTrip time.Duration // from request to answer: the shortest, slowly forgotten
	usual     time.Duration // from request to answer: the mean,
	spread    time.Duration // and how far from it answers are
	each      int64         // bytes a second of one request, once it is answered
	rate      int64         // bytes a second of all requests, while some reader wanted more

	began time.Time // of the measurement
	bytes int64     // that had come by then
	bound bool      // a reader has waited at the end of its window since
}

func (l *fetchLink) answered(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.roundTrip == 0 || d < l.roundTrip {
		l.roundTrip = d
	} else {
		l.roundTrip += (d - l.roundTrip) / 32
	}
	if l.usual == 0 {
		l.usual, l.spread = d, d/2
		return
	}
	l.spread += ((d - l.usual).Abs() - l.spread) / 4
	l.usual += (d - l.usual) / 8
}

// Patience is how long a reader waits for an answer before another request is sent beside
// the first: several times the usual, so that it is lost and not just late.
func (l *fetchLink) Patience() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usual == 0 {
		return fetchHeaderPatience
	}
	return min(max(4*l.usual+8*l.spread, fetchLeastPatience), fetchHeaderPatience)
}

// RoundTrip is the usual time from request to answer; 0 while it is not known.
func (l *fetchLink) RoundTrip() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.roundTrip
}

// carried is told of a request that brought so many bytes, and how long it took with its answer.
// alone: hardly any other was under way, so that it had what one can have.
func (l *fetchLink) carried(bytes int64, took time.Duration, alone bool) {
	if bytes < linkBytes {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	each := int64(float64(bytes) / max(took-l.roundTrip, time.Millisecond).Seconds())
	switch {
	case l.each == 0:
		l.each = each
	case each > l.each:
		l.each += min(each-l.each, 2*l.each) / 8
	case alone:
		l.each += (each - l.each) / 8
	}
}

// Width is how many requests fill the link: by the rate of all and that of one, and half as many
// again, so that more are tried as long as they bring more.
func (l *fetchLink) Width() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.each == 0 {
		return linkNarrow
	}
	return int(min(max(l.rate*3/2/l.each, linkNarrow), linkWide))
}

// Each is what one request brings a second, 0 while it is not known.
func (l *fetchLink) Each() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.each
}

// Rate is what a further stream can have, when others share the link; 0 while it is not
// known.
func (l *fetchLink) Rate(others int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate / (others + 1)
}

// measure is told with each read how many bytes came in all, and whether the reader has
// come to the end of a wide window: only then the bytes tell what the link can carry.
func (l *fetchLink) measure(now time.Time, bytes int64, bound bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bound = l.bound || bound
	took, came := now.Sub(l.began), bytes-l.bytes
	if took < linkEpoch || came < linkBytes && took < linkLong {
		return
	}
	if l.bound && came > 0 && took < 2*linkLong { // else it came from the disk, or nobody read
		rate := int64(float64(came) / took.Seconds())
		l.rate = max(rate, l.rate-(l.rate-rate)/linkForgets)
	}
	l.began, l.bytes, l.bound = now, bytes, false
}
