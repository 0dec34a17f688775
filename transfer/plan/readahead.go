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
	keepBehind  = reorder   // bytes that a stream holds on to: a read may overtake the one before it
	openWindow  = 4 * mib   // least window of a stream when it shows to be one
	splitMost   = 4         // requests for a first range that one would bring slowly
	bulkRead    = 512 * kib // who reads this much first of a file, from its begin, has openWindow at once
	headPart    = 256       // this part of a file with a tail, up to headMost, comes with its first read:
	headMost    = 8 * mib   // a few frames, also of footage that is hardly compressed
	blindWindow = 32 * mib  // largest window while the pace is not known
	slowWindow  = 8 * mib   // window that every pace may have
	minRequest  = 1 * mib
	maxRequest  = 8 * mib
	longRequest = 250 * millisecond // of what one request brings: a longer one comes late as a whole

	millisecond = int64(1e6)
	second      = int64(1e9)
	splitFrom   = 4 * millisecond   // one brings it slowly: in more than this, and a fourth of a round trip
	paceEpoch   = 100 * millisecond // the pace is measured over this long,
	paceTime    = 500 * millisecond // and remembered for about this long
	runway      = 400 * millisecond // what is kept ahead of a steady pace,
	hiccup      = 200 * millisecond // and, at least, of one that the link sets
	leftFor     = 250 * millisecond // what is taken for a round trip while none is known
	longestLeft = 10 * second       // the longest patience with streams that are not read
	opening     = 100 * millisecond // of a known rate, three round trips, and two requests: what a window opens with
)

// Conditions is what a decision depends on besides the read itself.
type Conditions struct {
	Now       int64 // nanoseconds of any monotonic clock
	Idle      int64 // nanoseconds before it in which no read of the file was under way
	Ready     bool  // the bytes of the read are there already
	MaxWindow int64 // bytes that one stream may have ahead
	RoundTrip int64 // nanoseconds from request to first byte
	Each      int64 // bytes a second of one request; 0: not known
	Rate      int64 // bytes a second that the link has for the file; 0: not known

	greedy bool  // the reader takes what it gets, and asks for more at once
	others int64 // streams beside this one
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

	streams  [MaxStreams]stream
	patience int64 // how long a stream may be without reads while others are read; 0: a round trip
	started  bool
	short    int   // streams in a row that ended with their first range
	slot     int   // of the latest read
	last     int   // slot of the latest new stream
	jump     int64 // offset of the latest new stream
	delta    int64 // its distance from the one before
	strides  int   // times in a row that delta was the same
	strided  int64 // number of strides fetched ahead
	pace     int64 // bytes a second of the latest stream but one that lived long enough; 0: none did

	longest int64 // size of a request that does not take too long
	latest  int64 // time of the latest read
	spent   int64 // recent time,
	unused  int64 // and how much of it nobody waited for a read
}

// NewReadahead follows the reads of an object of size bytes in blocks of block bytes.
// With the first read of its head, its last tail bytes are fetched as well (0: not).
func NewReadahead(size, block, tail int64) *Readahead {
	return &Readahead{size: size, block: block, tail: tail}
}

// Read decides for a read of n bytes at off, which lie inside the object.
func (r *Readahead) Read(off, n int64, c Conditions) Decision {
	r.observe(&c)
	d := Decision{Left: r.leave(off, n, c)}
	slot := r.find(off, off+n)
	if slot < 0 {
		slot = r.comeBack(off, c.Now)
	}
	if slot < 0 {
		slot = r.create(off, n, c, &d)
	} else {
		r.proceed(slot, off, off+n, c, &d)
	}
	r.slot, d.Slot = slot, slot
	d.From, d.To = r.streams[slot].window(r.block)
	return d
}

// proceed decides for a read of a stream that is known.
func (r *Readahead) proceed(slot int, off, end int64, c Conditions, d *Decision) {
	s := &r.streams[slot]
	c.others = r.others(slot)
	turns := slot != r.slot && s.width == 0 && s.continues(off, end, r.block)
	if turns {
		c.others = r.places(slot)
	}
	if r.pace > 0 {
		c.Rate = min(c.Rate, r.pace) // this file's reader takes no more
	}
	c.Rate /= c.others + 1
	s.follow(off, end, r.block, c)
	d.Bound = !c.Ready && s.width > openWindow
	r.fetchWindow(s, slot, off, end, d)
	if turns {
		r.expect(c, d)
	}
}

// find is the stream that a read belongs to, -1 if none.
func (r *Readahead) find(off, end int64) int {
	best, nearest := -1, int64(0)
	for i := range r.streams {
		s := &r.streams[i]
		if s.reads == 0 || s.left || !s.near(off, end) {
			continue
		}
		if d := s.distance(off, end); best < 0 || d < nearest {
			best, nearest = i, d
		}
	}
	return best
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
	r.fetchFirst(slot, floor(off, r.block), s.edge, c, d)
	if !r.started {
		r.begin(s, slot, off, n, c, d)
	}
	r.stride(off, prev, d)
	r.started, r.last = true, slot
	return slot
}

// begin adds what the first read of a file asks for besides: the window of who begins with
// much, or the tail that players read next, and of a long clip the first frames.
func (r *Readahead) begin(s *stream, slot int, off, n int64, c Conditions, d *Decision) {
	if off == 0 && n >= bulkRead {
		s.open(openWindow, c)
		r.fetchWindow(s, slot, off, n, d)
		s.width = 0 // the next read opens what fills the link
	}
	if r.tail == 0 || off >= r.block || r.size <= 4*mib {
		return
	}
	from := floor(max(r.size-r.tail, s.edge), r.block)
	half := from + min(ceil((r.size-from)/2, r.block), r.size-from)
	for _, q := range []Request{{Scatter, from, half - from}, {Scatter, half, r.size - half}} {
		if q.N > 0 { // short ones, since nobody knows at which of its bytes the index begins
			d.Fetch = append(d.Fetch, q)
		}
	}
	head := min(r.size/headPart, headMost)
	if c.Rate > 0 {
		head = min(head, max(c.known(), firstFetch)) // or the tail would come late
	}
	for s.edge < head {
		d.Fetch = append(d.Fetch, Request{slot, s.edge, minRequest})
		s.edge += minRequest
	}
}

// fetchFirst requests the first range of a stream: in several requests at once, where one alone
// would take long beside the round trip.
func (r *Readahead) fetchFirst(slot int, from, to int64, c Conditions, d *Decision) {
	step := to - from
	if c.Each > 0 && step*second/c.Each > max(c.RoundTrip/4, splitFrom) {
		step = ceil(max(step/splitMost, 1), r.block)
	}
	for ; from < to; from += step {
		d.Fetch = append(d.Fetch, Request{slot, from, min(step, to-from)})
	}
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

func floor(n, block int64) int64 { return n - n%block }
func ceil(n, block int64) int64  { return floor(n+block-1, block) }
