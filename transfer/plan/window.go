package plan

// Bounds of a Window, in requests.
const (
	windowStart = 8
	windowLeast = 2
	windowMost  = 64
)

const (
	// windowRest is how long a Window stays as it is before it tries another width:
	// trying a narrower one costs some of the throughput.
	windowRest = int64(5e9)
	// windowLoss is the share of the rate that a narrower width may cost.
	windowLoss = 0.04
	// windowGain is the least share of what a wider width could bring at best.
	windowGain = 0.125
)

// Window decides how many large requests are in flight at once. It tries other
// widths and keeps the narrowest one that fills the link: more requests would only
// stand in line on it, in front of everybody's small ones.
//
// A width is measured over twice as many requests as are in flight, after those
// have ended that were under way when it changed. Times are nanoseconds of any clock.
// The zero Window is ready.
type Window struct {
	width int     // in use
	base  int     // the width that is kept when a try brings nothing
	rate  float64 // of base, bytes per nanosecond
	since int64   // of the last change of base, or try that failed
	down  bool    // the next try is a narrower one

	skip  int // requests that began before the width changed
	count int // requests measured
	begin int64
	bytes int64
}

// Width is how many requests may be in flight.
func (w *Window) Width() int {
	if w.width == 0 {
		return windowStart
	}
	return w.width
}

// Done notes that a request of so many bytes has ended well at now. full tells
// whether others wait for their turn: otherwise the width is not what limits.
func (w *Window) Done(now, bytes int64, full bool) {
	if w.width == 0 {
		w.set(windowStart)
	}
	if !full {
		w.set(w.width)
		return
	}
	if w.skip > 0 {
		w.skip--
		w.begin, w.bytes, w.count = now, 0, 0
		return
	}
	w.bytes += bytes
	if w.count++; w.count < 2*max(w.width, windowStart) || now <= w.begin {
		return
	}
	w.decide(now, float64(w.bytes)/float64(now-w.begin))
}

// set changes the width, and begins a measurement.
func (w *Window) set(width int) {
	w.width, w.skip = width, width
	if w.base == 0 {
		w.base = width
	}
}

// decide is called with the rate of the present width.
func (w *Window) decide(now int64, rate float64) {
	switch {
	case w.width == w.base:
		first := w.rate == 0
		if w.rate = (w.rate + rate) / 2; first {
			w.rate = rate
			w.try(now, w.base*3/2)
		} else if now-w.since > windowRest && w.down {
			w.try(now, w.base*3/4)
		} else if now-w.since > windowRest {
			w.try(now, w.base*3/2)
		} else {
			w.set(w.width)
		}
	case w.width > w.base && rate >= w.rate*(1+float64(w.width-w.base)/float64(w.base)*windowGain):
		w.base, w.rate = w.width, rate
		w.try(now, w.base*3/2)
	case w.width < w.base && rate >= w.rate*(1-windowLoss):
		w.base, w.rate = w.width, rate
		w.try(now, w.base*3/4)
	default:
		w.since, w.down = now, w.width > w.base
		w.set(w.base)
	}
}

// try measures another width, where the bounds allow it.
func (w *Window) try(now int64, width int) {
	width = min(max(width, windowLeast), windowMost)
	if width == w.base {
		w.since, w.down = now, !w.down
	}
	w.set(width)
}
