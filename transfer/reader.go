package transfer

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"s3mount/cache"
	"s3mount/internal/mem"
	"s3mount/transfer/plan"
)

// Reader reads one Remote, for all descriptors of a file: it knows the streams that they
// make and holds what is fetched ahead for them. Safe for concurrent use.
type Reader struct {
	fetcher *Fetcher
	remote  *Remote
	content cache.Content
	order   fetchOrder

	reading atomic.Int32 // reads under way
	ended   atomic.Int64 // when the last one ended, if there is none

	mu struct {
		sync.Mutex
		plan     *plan.Readahead // nil while nobody reads, like the windows
		windows  *readerWindows
		lastRead time.Time
		streams  int // of plan, as counted in Fetcher.streams
		closed   bool
	}
}

// NewReader starts reading r. Close gives back what is held for it.
func (f *Fetcher) NewReader(r *Remote) *Reader {
	o := r.Object()
	rd := &Reader{fetcher: f, remote: r}
	rd.content = cache.Content{
		ID: r.id, Size: o.Size, Fill: func(fl *cache.Flight) { f.fill(r, fl, rd.order.next()) },
		Full: func(i int64, p []byte, loaded bool) { f.checkBlock(r, &rd.content, i, p, loaded) },
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed {
		rd.mu.closed = true
	} else {
		f.mu.readers[rd] = true
	}
	return rd
}

// Close gives back what was fetched ahead. Reads that are under way go on.
func (r *Reader) Close() {
	r.fetcher.mu.Lock()
	delete(r.fetcher.mu.readers, r)
	r.fetcher.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.closed = true
	r.rest()
}

// Read returns n bytes at off, less only at the end of the object. The end of ctx ends
// the wait, not the request: the bytes are there for the next read.
func (r *Reader) Read(ctx context.Context, off int64, n int) (*Chunks, error) {
	if off < 0 || off >= r.content.Size || n <= 0 {
		return ChunkOf(nil, nil), nil
	}
	n = int(min(int64(n), r.content.Size-off))
	f := r.fetcher
	first, last := off/mem.BlockSize, (off+int64(n)-1)/mem.BlockSize
	weight := min((last-first+1)*mem.BlockSize, f.admitMax)
	if err := f.admission.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	c := &Chunks{n: n, release: func() { f.admission.Release(weight) }}
	err := r.claim(off, int64(n), r.begin(), c)
	if err == nil {
		err = c.await(ctx, off)
	}
	r.end()
	if err != nil {
		c.Release()
		return nil, err
	}
	f.stats.asked.Add(int64(n))
	return c, nil
}

// begin counts a read, and tells for how long there was none.
func (r *Reader) begin() (idle time.Duration) {
	if ended := r.ended.Load(); r.reading.Add(1) == 1 && ended > 0 {
		return max(time.Duration(time.Now().UnixNano()-ended), 0)
	}
	return 0
}

func (r *Reader) end() {
	if r.reading.Add(-1) == 0 {
		r.ended.Store(time.Now().UnixNano())
	}
}

// await waits for the bytes of each block, and lists them.
func (c *Chunks) await(ctx context.Context, off int64) error {
	c.slices = make([][]byte, 0, len(c.refs))
	from, left := int(off%mem.BlockSize), c.n
	for _, ref := range c.refs {
		to := min(from+left, mem.BlockSize)
		if err := ref.Wait(ctx, to); err != nil {
			return err
		}
		ref.Consumed(to - from)
		c.slices = append(c.slices, ref.Bytes(from, to))
		left -= to - from
		from = 0
	}
	return nil
}

// claim takes Refs on the blocks of a read for c, and starts what the plan wants
// fetched. It does not wait. There was no read before it for so long.
func (r *Reader) claim(off, n int64, idle time.Duration, c *Chunks) error {
	f := r.fetcher
	ready := f.blocks.Ready(&r.content, off, n)
	f.stats.reads.Add(1)
	if ready {
		f.stats.hits.Add(1)
	}
	archived := r.remote.archivedNow()
	if archived && !ready {
		return archivedError(r.remote.Object())
	}
	first, last := off/mem.BlockSize, (off+n-1)/mem.BlockSize
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closed || archived {
		c.refs = f.blocks.Acquire(&r.content, first, last-first+1, last-first+1)
		return nil
	}
	r.wake()
	now := time.Now()
	d := r.mu.plan.Read(off, n, plan.Conditions{
		Now: now.UnixNano(), Idle: int64(idle), Ready: ready,
		MaxWindow: f.maxWindow(), RoundTrip: int64(f.link.RoundTrip()), Each: f.link.Each(),
		Rate: f.link.Rate(f.streams.Load() - int64(r.mu.streams)),
	})
	f.link.measure(now, f.stats.fetched.Load(), d.Bound)
	for _, slot := range d.Left {
		r.mu.windows[slot].trim(0, 0)
	}
	r.fetchAhead(d.Fetch, first, last)
	c.refs = r.take(&r.mu.windows[d.Slot], first, last)
	r.mu.windows[d.Slot].trim(d.From/mem.BlockSize, (d.To+mem.BlockSize-1)/mem.BlockSize)
	r.mu.lastRead = now
	r.count()
	return nil
}

// fetchAhead sends the requests of a decision, of which a read of blocks first to last
// waits for some. The lock is held.
func (r *Reader) fetchAhead(fetch []plan.Request, first, last int64) {
	for i, q := range fetch {
		from := q.Off / mem.BlockSize
		n := (q.N + mem.BlockSize - 1) / mem.BlockSize
		need := int64(0)
		if from <= last && from+n > first {
			need = min(last-from+1, n)
		}
		refs := r.fetcher.blocks.Acquire(&r.content, from, n, need)
		w := &r.mu.windows[q.Slot]
		for _, ref := range refs {
			w.add(ref)
		}
		if q.Slot == plan.Scatter {
			w.limit(readerScatter)
		}
		if got := int64(len(refs)); got < n { // no memory: the rest of the stream waits too
			q.Off, q.N = (from+got)*mem.BlockSize, (n-got)*mem.BlockSize
			for _, rest := range slices.Backward(fetch[i+1:]) {
				r.mu.plan.Refused(rest)
			}
			r.mu.plan.Refused(q)
			return
		}
	}
}

// take returns Refs on blocks first to last. What the window does not have is acquired for
// it. The lock is held.
func (r *Reader) take(w *readerWindow, first, last int64) []*cache.Ref {
	refs := make([]*cache.Ref, 0, last-first+1)
	for i := first; i <= last; i++ {
		if ref := w.find(i); ref != nil {
			refs = append(refs, ref.Clone())
			continue
		}
		n := int64(1)
		for i+n <= last && w.find(i+n) == nil {
			n++
		}
		for _, ref := range r.fetcher.blocks.Acquire(&r.content, i, n, n) {
			refs = append(refs, ref)
			w.add(ref.Clone())
		}
		i += n - 1
	}
	return refs
}

// count tells the Fetcher how many windows are open. The lock is held.
func (r *Reader) count() {
	n := r.mu.plan.Streams()
	if n != r.mu.streams {
		r.fetcher.streams.Add(int64(n - r.mu.streams))
		r.mu.streams = n
	}
}

// dropIdle gives back the windows without a read since then.
func (r *Reader) dropIdle(since time.Time) {
	now := time.Now()
	r.remote.check.expire(now.Add(-checkIdle))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.plan == nil {
		return
	}
	if now.Sub(r.mu.lastRead) > fetchIdle {
		r.rest()
		return
	}
	for _, slot := range r.mu.plan.Idle(since.UnixNano()) {
		r.mu.windows[slot].trim(0, 0)
	}
	if r.mu.lastRead.Before(since) {
		r.mu.windows[plan.Scatter].trim(0, 0)
	}
	r.count()
}

// wake makes what follows the reads. The lock is held.
func (r *Reader) wake() {
	if r.mu.plan == nil {
		r.mu.plan = plan.NewReadahead(r.content.Size, mem.BlockSize, readerTail(r.remote.Object()))
		r.mu.windows = new(readerWindows)
	}
}

// rest gives back what follows the reads: the kernel remembers many more files than are
// read. The lock is held.
func (r *Reader) rest() {
	if r.mu.plan == nil {
		return
	}
	for i := range r.mu.windows {
		r.mu.windows[i].trim(0, 0)
	}
	r.mu.plan, r.mu.windows = nil, nil
	r.fetcher.streams.Add(int64(-r.mu.streams))
	r.mu.streams = 0
}

// readerScatter is how many blocks of no stream are held.
const readerScatter = 32

// readerWindows is by slot of the plan.
type readerWindows [plan.MaxStreams + 1]readerWindow

// readerWindow is the Refs held for one stream, by rising block number.
type readerWindow struct {
	refs []*cache.Ref
}

// search is where block i is, or would be.
func (w *readerWindow) search(i int64) (int, bool) {
	return slices.BinarySearchFunc(w.refs, i, func(ref *cache.Ref, i int64) int {
		return int(ref.Index() - i)
	})
}

// find returns the Ref on block i, nil when there is none that is of use.
func (w *readerWindow) find(i int64) *cache.Ref {
	at, ok := w.search(i)
	if !ok {
		return nil
	}
	ref := w.refs[at]
	if ref.Failed() {
		w.refs = slices.Delete(w.refs, at, at+1)
		ref.Release()
		return nil
	}
	return ref
}

// add takes a Ref over.
func (w *readerWindow) add(ref *cache.Ref) {
	at, ok := w.search(ref.Index())
	if ok {
		w.refs[at].Release()
		w.refs[at] = ref
		return
	}
	w.refs = slices.Insert(w.refs, at, ref)
}

// trim releases the Refs outside blocks [from, to).
func (w *readerWindow) trim(from, to int64) {
	lo, _ := w.search(from)
	hi, _ := w.search(max(from, to))
	if lo == 0 && hi == len(w.refs) {
		return
	}
	// Those farthest ahead go first: a request ends early only when its end is not wanted.
	for _, ref := range slices.Backward(w.refs[hi:]) {
		ref.Release()
	}
	for _, ref := range slices.Backward(w.refs[:lo]) {
		ref.Release()
	}
	keep := copy(w.refs, w.refs[lo:hi])
	clear(w.refs[keep:])
	w.refs = w.refs[:keep]
}

// limit releases the lowest Refs beyond n.
func (w *readerWindow) limit(n int) {
	for len(w.refs) > n {
		w.refs[0].Release()
		w.refs = slices.Delete(w.refs, 0, 1)
	}
}
