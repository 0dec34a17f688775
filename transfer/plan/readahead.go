package plan

// Sizes of readahead. All are multiples of any block size up to 256 KiB.
const (
	kib = 1 << 10
	mib = 1 << 20

	// MaxStreams is how many positions of one file are followed at once.
	MaxStreams = 16
	// Scatter is the slot of requests that belong to no stream: the tail of a file that
	// was just opened, and the next frames of a strided reader.
	Scatter = MaxStreams

	bigRead     = 128 * kib // a first read of this size or more is taken for a part of
	firstFetch  = 1 * mib   // this much; a smaller one gets just its blocks
	reorder     = 2 * mib   // distance at which a read still belongs to a stream
	keepBehind  = 1 * mib   // consumed bytes that a stream holds on to
	openWindow  = 4 * mib   // least window of a stream when it shows to be one
	blindWindow = 32 * mib  // largest window while the pace is not known
	slowWindow  = 8 * mib   // window that every pace may have
	minRequest  = 1 * mib
	maxRequest  = 8 * mib

	millisecond = int64(1e6)
	second      = int64(1e9)
	paceEpoch   = 100 * millisecond // the pace is measured over this long,
	paceTime    = 500 * millisecond // and remembered for about this long
	runway      = 400 * millisecond // what is kept ahead of a steady pace
	leftFor     = 250 * millisecond // a stream without reads for this long was left
	opening     = 100 * millisecond // of a known rate, and three round trips: what a window opens with
)

// Conditions is what a decision depends on besides the read itself.
type Conditions struct {
	Now       int64 // nanoseconds of any monotonic clock
	Ready     bool  // the bytes of the read are there already
	MaxWindow int64 // bytes that one stream may have ahead
	RoundTrip int64 // nanoseconds from request to first byte
	Rate      int64 // bytes a second that the link has for one more stream; 0: not known
}

// Request is a range to fetch: from Off, a multiple of the block size, N bytes, which
// end at a block boundary or at the end of the object.
type Request struct {
	Slot   int
	Off, N int64
}

// Decision is the answer to one read.
type Decision struct {
	Slot     int       // stream of the read
	Fetch    []Request // in this order; what the read itself lacks comes first
	From, To int64     // the window of Slot: what it holds outside is given back
	Bound    bool      // the reader has come to the end of a window that had grown
	Left     []int     // slots whose windows are given up altogether
}

// Readahead follows the reads of one file and decides what to fetch before it is asked
// for: a small exact range first, since most jumps are followed by another jump, then
// windows that grow as long as the reader waits, up to what its pace can use.
//
// It follows several streams at once, forwards and backwards, each of which tolerates
// reads in disorder, and recognises jumps of constant distance. It asks for nothing
// twice within a stream, and for nothing past the end. Not safe for concurrent use.
type Readahead struct {
	size, block int64
	tail        int64

	streams [MaxStreams]stream
	started bool
	short   int   // streams in a row that ended with their first range
	last    int   // slot of the latest new stream
	jump    int64 // offset of the latest new stream
	delta   int64 // its distance from the one before
	strides int   // times in a row that delta was the same
	strided int64 // number of strides fetched ahead
	pace    int64 // bytes a second of the latest stream but one that lived long enough; 0: none did
}

// NewReadahead follows the reads of an object of size bytes in blocks of block bytes.
// With the first read of its head, its last tail bytes are fetched as well (0: not).
func NewReadahead(size, block, tail int64) *Readahead {
	return &Readahead{size: size, block: block, tail: tail}
}

// Read decides for a read of n bytes at off, which lie inside the object.
func (r *Readahead) Read(off, n int64, c Conditions) Decision {
	d := Decision{Left: r.leave(off, n, c.Now)}
	slot := r.find(off, off+n)
	if slot < 0 {
		slot = r.create(off, n, c, &d)
	} else {
		s := &r.streams[slot]
		if r.pace > 0 {
			c.Rate = min(c.Rate, r.pace) // this file's reader takes no more
		}
		s.follow(off, off+n, r.block, c)
		d.Bound = !c.Ready && s.width > openWindow
		r.fetchWindow(s, slot, off, off+n, &d)
	}
	d.Slot = slot
	d.From, d.To = r.streams[slot].window(r.block)
	return d
}

// Idle gives up the streams without a read since the given time, and names their slots.
func (r *Readahead) Idle(since int64) []int {
	var left []int
	for i := range r.streams {
		if s := &r.streams[i]; s.reads > 0 && s.lastRead < since {
			left = append(left, i)
			*s = stream{}
		}
	}
	return left
}

// Streams is how many streams have an open window.
func (r *Readahead) Streams() int {
	n := 0
	for i := range r.streams {
		if r.streams[i].width > 0 {
			n++
		}
	}
	return n
}

// Refused says that a request was not sent, for want of memory. The stream asks again
// with its next read.
func (r *Readahead) Refused(q Request) {
	if q.Slot == Scatter {
		return
	}
	s := &r.streams[q.Slot]
	if s.dir < 0 {
		s.edge = max(s.edge, q.Off+q.N)
	} else {
		s.edge = min(s.edge, q.Off)
	}
}

// find is the stream that a read belongs to, -1 if none.
func (r *Readahead) find(off, end int64) int {
	best, nearest := -1, int64(0)
	for i := range r.streams {
		s := &r.streams[i]
		if s.reads == 0 || !s.near(off, end) {
			continue
		}
		if d := s.distance(off, end); best < 0 || d < nearest {
			best, nearest = i, d
		}
	}
	return best
}

// leave gives up streams which were left for the one that is read now: a seek.
func (r *Readahead) leave(off, n, now int64) []int {
	var left []int
	for i := range r.streams {
		s := &r.streams[i]
		if s.reads == 0 || s.width == 0 || s.near(off, off+n) {
			continue
		}
		if now-s.lastRead > max(leftFor, 8*s.gap) {
			left = append(left, i)
			*s = stream{}
		}
	}
	return left
}

// create starts a stream in a free slot, or in that of the longest unread.
func (r *Readahead) create(off, n int64, c Conditions, d *Decision) int {
	slot := 0
	for i := range r.streams {
		if r.streams[i].reads == 0 {
			slot = i
			break
		}
		if r.streams[i].lastRead < r.streams[slot].lastRead {
			slot = i
		}
	}
	prev := r.streams[r.last]
	if prev.epochs >= 2 {
		r.pace = prev.pace
	}
	if r.streams[slot].reads > 0 {
		d.Left = append(d.Left, slot)
	}
	switch read := prev.hi - prev.lo; {
	case prev.reads == 0 || prev.hi <= prev.firstEnd && read < firstFetch/2: // it tells nothing
	case prev.hi <= prev.firstEnd:
		r.short++
	default:
		r.short = 0
	}
	r.streams[slot] = r.first(off, n, c)
	s := &r.streams[slot]
	d.Fetch = append(d.Fetch, Request{slot, floor(off, r.block), s.edge - floor(off, r.block)})
	if !r.started && r.tail > 0 && off < r.block && r.size > 4*mib {
		from := floor(max(r.size-r.tail, s.edge), r.block)
		d.Fetch = append(d.Fetch, Request{Scatter, from, r.size - from})
	}
	r.stride(off, prev, d)
	r.started, r.last = true, slot
	return slot
}

// first is a stream with its exact first range requested.
func (r *Readahead) first(off, n int64, c Conditions) stream {
	want := n
	if n >= bigRead {
		want = max(n, firstFetch)
	}
	return stream{
		dir: 1, reads: 1, lo: off, hi: off + n,
		edge:     min(ceil(off+want, r.block), r.size),
		firstEnd: off + want,
		cautious: r.short >= 2,
		lastRead: c.Now, epoch: c.Now,
	}
}

// stride fetches ahead for jumps of a constant distance, as long as prev was.
func (r *Readahead) stride(off int64, prev stream, d *Decision) {
	delta := off - r.jump
	switch {
	case !r.started || prev.reads == 0 || delta != r.delta || delta == 0:
		r.strides, r.strided = 0, 0
	default:
		r.strides++
		r.strided = max(r.strided-1, 0)
	}
	r.jump, r.delta = off, delta
	if r.strides < 2 {
		return
	}
	n := min(max(prev.hi-prev.lo, 1), 2*mib)
	for k := r.strided + 1; k <= 4; k++ {
		from := off + k*delta
		if from < 0 || from >= r.size {
			return
		}
		to := min(ceil(from+n, r.block), r.size)
		from = floor(from, r.block)
		d.Fetch = append(d.Fetch, Request{Scatter, from, to - from})
		r.strided = k
	}
}

// fetchWindow requests what the read lacks and what fits into the window of its stream.
func (r *Readahead) fetchWindow(s *stream, slot int, off, end int64, d *Decision) {
	if s.dir < 0 {
		r.fetchBackwards(s, slot, off, d)
		return
	}
	if from := floor(off, r.block); from > s.edge {
		s.edge = from // the reader skipped some
	}
	begin := s.edge
	for s.edge < r.size {
		step := stagger(s.step(), s.hi+s.width-begin, s.edge-begin)
		if min(s.edge+step, r.size) > s.hi+s.width && s.edge >= end {
			break
		}
		for step > max(minRequest, s.width/32) && r.size-s.edge < 12*step {
			step /= 2 // so that the last requests end together
		}
		to := s.edge + step
		if s.width == 0 {
			to = end
		}
		to = min(ceil(to, r.block), r.size)
		d.Fetch = append(d.Fetch, Request{slot, s.edge, to - s.edge})
		s.edge = to
	}
}

// fetchBackwards is fetchWindow for a reader that goes towards the start.
func (r *Readahead) fetchBackwards(s *stream, slot int, off int64, d *Decision) {
	begin := s.edge
	for s.edge > 0 {
		step := stagger(s.step(), s.width-s.lo+begin, begin-s.edge)
		if s.edge <= off && max(s.edge-step, 0) < s.lo-s.width {
			break
		}
		from := max(floor(s.edge-step, r.block), 0)
		d.Fetch = append(d.Fetch, Request{slot, from, s.edge - from})
		s.edge = from
	}
}

func floor(n, block int64) int64 { return n - n%block }
func ceil(n, block int64) int64  { return floor(n+block-1, block) }
