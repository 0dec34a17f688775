package plan

// stream is one position in a file that moves. The zero stream is a free slot.
type stream struct {
	dir      int   // 1 towards the end, -1 towards the start
	reads    int   // in all
	lo, hi   int64 // what was read: from the lowest to the highest offset
	edge     int64 // what was requested ends here (backwards: begins here)
	firstEnd int64 // end of the exact first range
	width    int64 // window: bytes requested ahead of the reader; 0 until it shows to be a stream
	cautious bool  // the window opens behind the first range only
	left     bool  // nobody read on: it has no window, and only its place is remembered

	ups, downs int // reads in a row that raised hi, or lowered lo

	lastRead int64 // time of the latest read
	gap      int64 // usual time between reads
	mark     int64 // edge when width was last multiplied,
	grown    int64 // and the time
	stalled  int64 // time of the latest read that had to wait

	epoch  int64 // start of the measurement of pace
	bytes  int64 // consumed since
	pace   int64 // bytes a second; valid when epochs >= 2
	epochs int
}

// near tells whether a read can belong to the stream.
func (s *stream) near(off, end int64) bool {
	if s.dir < 0 {
		return off >= s.lo-reorder && off <= s.lo+2*reorder
	}
	return off >= max(s.lo-reorder, s.hi-2*reorder) && off <= s.hi+reorder
}

// distance is how far a read is from where the stream would go on.
func (s *stream) distance(off, end int64) int64 {
	if s.dir < 0 {
		return abs(end - s.lo)
	}
	return abs(off - s.hi)
}

// continues tells whether a read goes on where the stream ended.
func (s *stream) continues(off, end, block int64) bool {
	return s.dir > 0 && end > s.hi && abs(off-s.hi) <= block
}

// follow moves the stream by one read, and sets its window.
func (s *stream) follow(off, end, block int64, c Conditions) {
	sequential := off <= s.hi+block
	up, down := max(end-s.hi, 0), max(s.lo-off, 0)
	s.reads++
	if down > 0 {
		s.downs, s.ups = s.downs+1, 0
		s.lo = off
	}
	if up > 0 {
		s.ups, s.downs = s.ups+1, 0
		s.hi = end
	}
	s.turn(block, c)
	s.measure(up+down, c.Now)
	if sequential && (s.dir > 0 && up > 0 || s.dir < 0 && down > 0) {
		s.resize(off, up+down, c)
	}
	if !c.Ready {
		s.stalled = c.Now
	}
	s.gap += (c.Now - s.lastRead - s.gap) / 4
	s.lastRead = c.Now
}

// turn changes the direction when three reads in a row lowered the start: fewer
// may be reads of a forward stream that arrived in disorder.
func (s *stream) turn(block int64, c Conditions) {
	switch {
	case s.dir > 0 && s.downs >= 3:
		s.dir, s.edge, s.width = -1, ceil(s.lo, block), c.opening()
		s.mark = s.edge
		s.hi = min(s.hi, s.lo+2*reorder)
	case s.dir < 0 && s.ups >= 2:
		s.dir, s.edge, s.width = 1, ceil(s.hi, block), 0
		s.lo = max(s.lo, s.hi-2*reorder)
	}
}

// measure keeps the pace at which the reader consumes, over the last paceTime or so.
func (s *stream) measure(moved, now int64) {
	s.bytes += moved
	took := now - s.epoch
	if took < paceEpoch {
		return
	}
	rate := float64(s.bytes) / float64(took) * float64(second)
	if s.epochs > 0 { // weighted by time: a reader that waits comes in bursts
		rate = float64(s.pace) + (rate-float64(s.pace))*min(float64(took)/float64(paceTime), 1)
	}
	s.pace, s.epochs = int64(rate), s.epochs+1
	s.epoch, s.bytes = now, 0
}

// resize opens, widens or narrows the window. A reader that has come to what was
// requested since the window was last multiplied, and has to wait for it, gets four times as much, as
// far as its pace can use it, but not before that can have come: the kernel asks ahead of who reads; a steady reader gets what keeps it from ever waiting.
func (s *stream) resize(off, moved int64, c Conditions) {
	width := s.width
	came := s.dir > 0 && off >= s.mark || s.dir < 0 && off < s.mark
	switch {
	case width == 0 && s.dir > 0 && (!s.cautious || s.hi > s.firstEnd):
		s.open(c.opening(), c)
		width = s.width
	case width > 0 && !c.Ready && came && c.Now-s.grown >= c.RoundTrip:
		width, s.mark, s.grown = 4*width, s.edge, c.Now
	}
	if width == 0 {
		return
	}
	limit := max(blindWindow/(c.others+1), openWindow, 2*c.known())
	if s.epochs < 2 {
		width = max(width, min(width+moved, slowWindow))
	} else {
		// What a reader consumes in a second, so that a seek wastes little; and what
		// covers several round trips however slow it is.
		steady := int64(float64(s.pace) * float64(max(runway, 3*c.RoundTrip)) / float64(second))
		limit = max(s.pace, steady, slowWindow, 2*c.known())
		// No faster than it reads, so that what it needs next is not crowded out.
		width = max(width, min(steady, width+moved))
		if c.greedy && c.others > 0 { // nothing gathers: more would only be under way at the same time
			limit = max(int64(float64(s.pace)*float64(max(hiccup, 6*c.RoundTrip))/float64(second)), openWindow, 2*c.known())
		}
		if width > 2*steady && c.Now-s.stalled > second {
			width = max(steady, openWindow)
		}
	}
	s.width = max(min(width, limit, c.MaxWindow), 0)
}

// open gives the stream its first window.
func (s *stream) open(width int64, c Conditions) {
	s.width, s.mark, s.grown = min(width, c.MaxWindow), s.edge, c.Now
}

// known is what fills a link whose rate is known, 0 where it is not.
func (c *Conditions) known() int64 {
	request := int64(0) // of the least size
	if c.Each > 0 {
		request = c.RoundTrip + minRequest*second/c.Each
	}
	return int64(float64(c.Rate) * float64(max(opening, 3*c.RoundTrip, 2*request)) / float64(second))
}

// opening is the window of a stream that shows to be one.
func (c *Conditions) opening() int64 { return min(max(openWindow, c.known()), blindWindow) }

// window is the range that is held for the stream.
func (s *stream) window(block int64) (from, to int64) {
	if s.dir < 0 {
		return s.edge, ceil(min(s.hi, s.lo+keepBehind+reorder), block)
	}
	return max(floor(s.hi-keepBehind, block), 0), s.edge
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
