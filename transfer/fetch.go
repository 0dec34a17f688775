package transfer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"s3mount/cache"
	"s3mount/cache/disk"
	"s3mount/internal/mem"
	"s3mount/internal/s3"
)

const (
	// fetchDemandSlots is how many requests run at once for readers who wait.
	fetchDemandSlots = 48
	// fetchLoadSlots is how many flights nobody waits for are read from disk at once.
	fetchLoadSlots = 8

	// fetchIdle is how long a stream without reads keeps what was fetched for it.
	fetchIdle = 10 * time.Second
	// fetchSweep is how often idle streams and memory are looked for.
	fetchSweep = 2 * time.Second

	// defaultReadaheadMax is the window of one stream where the options name none.
	defaultReadaheadMax = 128 << 20
)

// errFetcherClosed is what reads get when the mount ends.
var errFetcherClosed = errors.New("mount is ending")

// FetchOptions says where bytes come from and how much memory they may take.
type FetchOptions struct {
	Bucket       *s3.Bucket
	Budget       *mem.Budget // its reclaim function becomes the Fetcher's
	Arena        *mem.Arena
	Memory       int64            // bytes of blocks read in part that are kept; 0: none
	Disk         *disk.Tier       // nil: nothing is kept on disk. It is closed after the Fetcher
	ReadaheadMax int64            // bytes that one stream may have ahead; 0: 128 MiB
	Damaged      func(key string) // bytes of the object that were given out are wrong; may be nil
	Log          *slog.Logger
}

// Fetcher brings the bytes of objects into the cache, for all readers of a mount.
// Each block is in flight at most once; who waits overtakes prefetch; broken and
// stalled bodies go on from their last byte. Safe for concurrent use.
//
// Lock order: Reader.mu before the locks of cache and mem. Fetcher.mu is never held
// together with another.
type Fetcher struct {
	opts   FetchOptions
	blocks *cache.Blocks
	link   fetchLink
	stats  fetchCounters

	admission *semaphore.Weighted // bytes that unfinished reads pin: what Demand owns
	admitMax  int64
	demand    chan struct{} // slots
	ahead     fetchSlots
	loads     chan struct{}
	streams   atomic.Int64  // open windows in the mount
	pressure  chan struct{} // memory is short
	keeper    keeper

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		closed  bool
		readers map[*Reader]bool
	}
}

// NewFetcher starts a Fetcher. Close ends it.
func NewFetcher(o FetchOptions) *Fetcher {
	if o.ReadaheadMax <= 0 {
		o.ReadaheadMax = defaultReadaheadMax
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fetcher{
		opts:     o,
		blocks:   cache.New(o.Budget, o.Arena, o.Memory, o.Disk),
		admitMax: max(o.Budget.Min(mem.Demand), mem.BlockSize),
		demand:   make(chan struct{}, fetchDemandSlots),
		loads:    make(chan struct{}, fetchLoadSlots),
		pressure: make(chan struct{}, 1),
	}
	f.ahead.width = f.link.Width
	f.keeper.wake = make(chan struct{}, 1)
	f.admission = semaphore.NewWeighted(f.admitMax)
	f.mu.readers = make(map[*Reader]bool)
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.keeper.ctx, f.keeper.stop = context.WithCancel(f.ctx)
	o.Budget.SetReclaim(f.reclaim)
	f.wg.Go(f.sweep)
	f.wg.Go(f.keepLater)
	return f
}

// Close cancels all requests and waits for them. Chunks that were not released stay
// valid.
func (f *Fetcher) Close() {
	f.mu.Lock()
	f.mu.closed = true
	readers := f.mu.readers
	f.mu.readers = nil
	f.mu.Unlock()
	for r := range readers {
		r.Close()
	}
	f.stop()
	f.blocks.Close()
	f.wg.Wait()
}

// begin counts one more goroutine that Close waits for; false when Close came first.
func (f *Fetcher) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed {
		return false
	}
	f.wg.Add(1)
	return true
}

// fill starts what brings the bytes of a flight, when its turn comes.
func (f *Fetcher) fill(r *Remote, flight *cache.Flight, turn fetchTurn) {
	if !f.begin() {
		turn.leave()
		flight.Done(errFetcherClosed)
		return
	}
	go func() {
		defer f.wg.Done()
		defer turn.leave()
		flight.Done(f.bring(r, flight, turn))
	}()
}

// bring fills a flight: from disk what is there, and from the bucket, when its turn has
// come, what is not.
func (f *Fetcher) bring(r *Remote, flight *cache.Flight, turn fetchTurn) error {
	if err := flight.Prepare(); err != nil {
		return err
	}
	for {
		if flight.Loads() {
			turn.leave()
			if err := f.load(flight); err != nil {
				return err
			}
		}
		if _, n := flight.Missing(); n == 0 {
			return nil
		}
		if err := f.fetchMissing(r, flight, turn); err != nil {
			return err
		}
	}
}

// load fills a flight from disk. Who does not wait for it leaves room for who does.
func (f *Fetcher) load(flight *cache.Flight) error {
	select {
	case <-flight.Urgent():
	case f.loads <- struct{}{}:
		defer func() { <-f.loads }()
	case <-flight.Context().Done():
		return flight.Context().Err()
	}
	f.stats.loaded.Add(flight.Load())
	return nil
}

// fetchMissing brings what lies before the next block on disk.
func (f *Fetcher) fetchMissing(r *Remote, flight *cache.Flight, turn fetchTurn) error {
	turn.await(flight)
	off, n := flight.Missing()
	run := &missingRun{Flight: flight, end: off + n}
	if place := f.ahead.take(flight); place != nil {
		run.at(place, n, &f.link)
		defer run.over()
		return f.pull(turn.context(flight.Context()), r, run, flight.Wanted)
	}
	select {
	case f.demand <- struct{}{}:
		defer func() { <-f.demand }()
	case <-flight.Context().Done():
		return flight.Context().Err()
	}
	return f.pull(turn.context(flight.Context()), r, run, flight.Wanted)
}

// maxWindow is what one stream may have ahead now: all share what prefetch can have.
func (f *Fetcher) maxWindow() int64 {
	share := f.opts.Budget.Max(mem.Prefetch) / 8 * 7 / max(f.streams.Load(), 1)
	return min(f.opts.ReadaheadMax, share)
}

// reclaim makes room in the budget: consumed blocks at once, windows soon.
func (f *Fetcher) reclaim(n int64) int64 {
	freed := f.blocks.Reclaim(n)
	if freed < n {
		select {
		case f.pressure <- struct{}{}:
		default:
		}
	}
	return freed
}

// sweep gives back windows nobody reads, and memory nobody uses.
func (f *Fetcher) sweep() {
	tick := time.NewTicker(fetchSweep)
	defer tick.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
			f.dropIdle(fetchIdle)
			f.opts.Arena.Trim()
			if f.opts.Budget.Waiting() { // what held the memory may be idle by now
				f.relieve()
			}
		case <-f.pressure:
			f.relieve()
		}
	}
}

// relieve gives windows back, those longest unread first, until nobody waits for memory.
// A cancelled request takes a moment to give its memory back, and what was consumed has
// to be taken from the memory tier again.
func (f *Fetcher) relieve() {
	for _, age := range []time.Duration{time.Second, 100 * time.Millisecond, 0} {
		f.dropIdle(age)
		select {
		case <-f.ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
		for f.opts.Budget.Waiting() && f.blocks.Reclaim(mem.BlockSize) > 0 {
		}
		if !f.opts.Budget.Waiting() {
			return
		}
	}
}

func (f *Fetcher) dropIdle(age time.Duration) {
	f.mu.Lock()
	readers := make([]*Reader, 0, len(f.mu.readers))
	for r := range f.mu.readers {
		readers = append(readers, r)
	}
	f.mu.Unlock()
	since := time.Now().Add(-age)
	for _, r := range readers {
		r.dropIdle(since)
	}
}

// fetchCounters is what Stats reads.
type fetchCounters struct {
	requests, fetched, loaded, asked, reads, hits, retries, hedges, damaged atomic.Int64
}

// FetchStats counts since the start of the mount.
type FetchStats struct {
	Requests int64 // GETs sent
	Fetched  int64 // bytes that came
	Loaded   int64 // bytes that were read from the cache on disk
	Asked    int64 // bytes that readers got
	Reads    int64 // reads
	Hits     int64 // reads that found all their bytes there
	Retries  int64 // requests sent again after an error or a stall
	Hedges   int64 // requests sent beside one whose answer was late
	Damaged  int64 // versions whose bytes were not what the bucket has

	Live, Refs, Flights int // blocks, references, requests now; zero after Close
}

// Stats reads the counters.
func (f *Fetcher) Stats() FetchStats {
	g := f.blocks.Gauges()
	return FetchStats{
		Requests: f.stats.requests.Load(), Fetched: f.stats.fetched.Load(), Loaded: f.stats.loaded.Load(),
		Asked: f.stats.asked.Load(), Reads: f.stats.reads.Load(), Hits: f.stats.hits.Load(),
		Retries: f.stats.retries.Load(), Hedges: f.stats.hedges.Load(), Damaged: f.stats.damaged.Load(),
		Live: g.Live, Refs: g.Refs, Flights: g.Flights,
	}
}
