package transfer

import (
	"errors"
	"sync"
	"time"

	"s3mount/cache"
	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/internal/sum"
)

// ErrDamaged: bytes that the bucket sent, or the disk kept, are not those of the object.
// They are given up here; who opens the file again gets others.
var ErrDamaged = errors.New("bytes did not match the checksum of the object")

// checkMost is how many blocks of a content are checked: more would take too much memory.
const checkMost = 1 << 18 // 64 GiB

// checkPatience is how long the last block waits for the checksum of the object.
const checkPatience = 3 * time.Second

// checkIdle is how long the sums of blocks are kept when none comes: a mount sees many files
// that nobody reads on, and the kernel remembers them for days.
const checkIdle = 5 * time.Minute

// sumPage is the sums of 64 neighbouring blocks. Most files are read in few places.
type sumPage struct {
	seen uint64 // bits
	sums [64]sum.Sums
}

// contentCheck compares a version with the checksum that the bucket has of it, once all
// of its blocks have passed, in whatever order. An answer for a range carries no checksum, so
// that is the earliest time; from then on each block is compared as it comes again.
//
// A reader has had the first blocks by then. So when the sum is another one, what was opened
// before fails (File.Damaged), and all tiers give up the blocks.
type contentCheck struct {
	mu      sync.Mutex
	pages   []*sumPage // by block
	latest  time.Time  // when one passed
	left    int64      // blocks that have not passed
	want    s3.Sum
	known   bool          // want is known
	asked   chan struct{} // closed when want is known, or never will be; nil: not asked yet
	damaged time.Time     // who opened it before may have wrong bytes
}

// expect notes what the bucket has, which may be nothing.
func (k *contentCheck) expect(said s3.Sum) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.want, k.known = said, true
}

// damagedSince tells whether who reads since then may have got wrong bytes.
func (k *contentCheck) damagedSince(t time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.damaged.IsZero() && !k.damaged.Before(t)
}

// note takes the sums of a block. ask: the sum of all will be needed (not for what the disk
// has: that is read without the bucket); whole: all are there; bad: the block is not what it
// was before.
func (k *contentCheck) note(i, blocks int64, sums sum.Sums, loaded bool) (ask, whole, bad bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pages == nil {
		k.pages, k.left = make([]*sumPage, (blocks+63)/64), blocks
	}
	k.latest = time.Now()
	page, bit := k.pages[i/64], uint64(1)<<(i%64)
	if page == nil {
		page = new(sumPage)
		k.pages[i/64] = page
	}
	if page.seen&bit != 0 {
		return false, false, page.sums[i%64] != sums
	}
	page.seen |= bit
	page.sums[i%64] = sums
	k.left--
	if !loaded && k.asked == nil && !k.known && k.left <= blocks/2 {
		k.asked, ask = make(chan struct{}), true
	}
	return ask, k.left == 0, false
}

// holds compares all blocks with what the bucket has, if that is known.
func (k *contentCheck) holds(size int64) bool {
	k.mu.Lock()
	asked := k.asked
	k.mu.Unlock()
	if asked != nil {
		select {
		case <-asked:
		case <-time.After(checkPatience):
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.want.Comparable() || k.pages == nil || k.left > 0 {
		return true
	}
	blocks := (size + mem.BlockSize - 1) / mem.BlockSize
	sums := make([]sum.Sums, 0, blocks)
	for _, page := range k.pages {
		sums = append(sums, page.sums[:min(64, blocks-int64(len(sums)))]...)
	}
	return k.want.Is(sum.Blocks(sums, mem.BlockSize, size-(blocks-1)*mem.BlockSize))
}

// condemn fails who has it open now.
func (k *contentCheck) condemn() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.damaged = time.Now()
}

// reset begins anew.
func (k *contentCheck) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pages = nil
}

// expire begins anew where no block has passed since then.
func (k *contentCheck) expire(since time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.latest.After(since) {
		k.pages = nil
	}
}

// checkBlock is told of each block of r before its last bytes are given out.
func (f *Fetcher) checkBlock(r *Remote, c *cache.Content, i int64, p []byte, loaded bool) {
	if c.Blocks() > checkMost {
		return
	}
	ask, whole, bad := r.check.note(i, c.Blocks(), sum.Of(p), loaded)
	if ask {
		f.askSum(r)
	}
	if !bad && (!whole || r.check.holds(c.Size)) {
		return
	}
	o := r.Object()
	f.opts.Log.Error("bytes did not match the checksum of the object: they are fetched again, and what was open fails", "key", o.Key, "etag", o.ETag)
	f.stats.damaged.Add(1)
	r.check.reset()
	f.blocks.Discard(c)
	r.check.condemn()
	if f.opts.Damaged == nil {
		return
	}
	f.wg.Go(func() { // the caller is a flight, which Close waits for
		f.opts.Damaged(o.Key) // waits for reads that wait for the flight
		r.check.condemn()     // and whoever has opened it since
	})
}

// askSum asks for the checksum of a version, beside the rest of its blocks.
func (f *Fetcher) askSum(r *Remote) {
	o, k := r.Object(), &r.check
	f.wg.Go(func() {
		defer close(k.asked)
		said, err := f.opts.Bucket.Sum(f.ctx, o.Key, o.ETag, o.VersionID)
		if err != nil {
			f.opts.Log.Debug("no checksum to compare with", "key", o.Key, "error", err)
			return
		}
		k.expect(said)
	})
}

// Damaged tells whether bytes that were read since then may be wrong. A descriptor that was
// opened before fails from then on.
func (f *File) Damaged(since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clean != nil && f.clean.remote != nil && f.clean.remote.check.damagedSince(since)
}
