package transfer

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/internal/sum"
)

// sumPage is the sums of 64 neighbouring blocks. Most files are read in few places.
type sumPage struct {
	seen uint64 // bits
	sums [64]sum.Sums
}

// contentCheck compares a version with the checksums that the bucket has of it: a run of
// blocks, all of them or those of a part, once all have passed, in whatever order. An answer
// for a range carries no checksum, so that is the earliest time; from then on each block is
// compared as it comes again.
//
// A reader has had the first blocks by then. So when the sum is another one, what was opened
// before fails (File.Damaged), and all tiers give up the run.
type contentCheck struct {
	mu      sync.Mutex
	size    int64
	pages   []*sumPage    // by block; nil: none has passed
	latest  time.Time     // when one passed
	left    int64         // blocks that have not passed
	runs    []checkRun    // in order; one of all blocks where the bucket has no checksum
	kind    sum.Kind      // of what it has; 0: not known yet, any may be needed
	sealed  bool          // it has some
	asked   chan struct{} // closed when that is known, or never will be; nil: not asked yet
	damaged time.Time     // who opened it before may have wrong bytes
}

// checkRun is a run of neighbouring blocks.
type checkRun struct {
	first, end int64 // blocks
	last       int64 // bytes in the last one
	left       int64 // blocks that have not passed
	want       sum.Sums
}

// checkRuns joins parts that meet within a block.
func checkRuns(said []s3.RunSum) (runs []checkRun) {
	var off, first int64
	var all sum.Sums
	for i, s := range said {
		all = all.Then(s.Sum.Sums(), s.Size)
		off += s.Size
		if off%mem.BlockSize == 0 || i == len(said)-1 {
			end := (off + mem.BlockSize - 1) / mem.BlockSize
			runs = append(runs, checkRun{first: first, end: end, last: off - (end-1)*mem.BlockSize, want: all})
			first, all = end, sum.Sums{}
		}
	}
	return runs
}

// expect notes what the bucket has of a content of size bytes, which may be nothing, and
// returns the runs that have passed and are not that.
func (k *contentCheck) expect(size int64, said []s3.RunSum) (bad []checkRun) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kind != 0 {
		return nil
	}
	k.kind = sum.CRC64NVME // a block that comes again is compared in any case
	if len(said) > 0 {
		k.kind, k.runs, k.sealed = said[0].Sum.Kind(), checkRuns(said), true
	}
	if k.pages == nil {
		k.begin(size)
	}
	for i := range k.runs {
		run := &k.runs[i]
		run.left = run.end - run.first
		for at := run.first; at < run.end; at++ {
			if k.seen(at) {
				run.left--
			}
		}
		if run.left == 0 && !k.holds(run) {
			bad = append(bad, *run)
		}
	}
	return bad
}

// takes is what is to be taken of a block.
func (k *contentCheck) takes() sum.Kind {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kind == 0 {
		return sum.CRC64NVME | sum.CRC32C | sum.CRC32
	}
	return k.kind
}

// passed is what follows from a block.
type passed struct {
	bad   []checkRun // is not as it should be
	ask   bool       // the checksums will be needed
	whole bool       // all blocks have passed
}

// note takes the sums of block i. What the disk has is read without the bucket: nothing is
// asked for it. parts: the object was uploaded in parts.
func (k *contentCheck) note(size, i int64, sums sum.Sums, loaded, parts bool) (p passed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pages == nil {
		k.begin(size)
	}
	k.latest = time.Now()
	page, bit := k.pages[i/64], uint64(1)<<(i%64)
	if page == nil {
		page = new(sumPage)
		k.pages[i/64] = page
	}
	at, _ := slices.BinarySearchFunc(k.runs, i, func(r checkRun, i int64) int { return cmp.Compare(r.end, i+1) })
	run := &k.runs[at]
	if page.seen&bit != 0 {
		if !page.sums[i%64].Same(sums, k.kind) {
			p.bad = []checkRun{*run}
		}
		return p
	}
	page.seen |= bit
	page.sums[i%64] = sums
	k.left--
	run.left--
	blocks := k.blocks()
	enough := k.left <= blocks/2 || parts && blocks-k.left >= checkParts
	if enough && !loaded && k.asked == nil && k.kind == 0 {
		k.asked, p.ask = make(chan struct{}), true
	}
	if run.left == 0 && !k.holds(run) {
		p.bad = []checkRun{*run}
	}
	p.whole = k.left == 0
	return p
}

func (k *contentCheck) blocks() int64 { return (k.size + mem.BlockSize - 1) / mem.BlockSize }

// begin makes room for the sums of blocks, of which none has passed. The lock is held.
func (k *contentCheck) begin(size int64) {
	k.size = size
	blocks := k.blocks()
	k.pages, k.left = make([]*sumPage, (blocks+63)/64), blocks
	if !k.sealed {
		k.runs = []checkRun{{end: blocks, last: size - (blocks-1)*mem.BlockSize}}
	}
	for i := range k.runs {
		k.runs[i].left = k.runs[i].end - k.runs[i].first
	}
}

// seen tells whether a block has passed. The lock is held.
func (k *contentCheck) seen(i int64) bool {
	page := k.pages[i/64]
	return page != nil && page.seen&(1<<(i%64)) != 0
}

// holds compares a run that has passed with what the bucket has. The lock is held.
func (k *contentCheck) holds(r *checkRun) bool {
	if !k.sealed {
		return true
	}
	sums := make([]sum.Sums, 0, r.end-r.first)
	for i := r.first; i < r.end; i++ {
		sums = append(sums, k.pages[i/64].sums[i%64])
	}
	return r.want.Same(sum.Blocks(sums, mem.BlockSize, r.last), k.kind)
}

// wait waits until it is known what the bucket has, not for long.
func (k *contentCheck) wait() {
	k.mu.Lock()
	asked := k.asked
	k.mu.Unlock()
	if asked == nil {
		return
	}
	select {
	case <-asked:
	case <-time.After(checkPatience):
	}
}

// condemn fails who has it open now.
func (k *contentCheck) condemn() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.damaged = time.Now()
}

// damagedSince tells whether who reads since then may have got wrong bytes.
func (k *contentCheck) damagedSince(t time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.damaged.IsZero() && !k.damaged.Before(t)
}

// condemned tells whether wrong bytes were ever found.
func (k *contentCheck) condemned() bool { return k.damagedSince(time.Time{}) }

// reset lets the blocks of a run pass anew.
func (k *contentCheck) reset(bad checkRun) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pages == nil {
		return
	}
	for i := bad.first; i < bad.end; i++ {
		if k.seen(i) {
			k.pages[i/64].seen &^= 1 << (i % 64)
			k.left++
			at, _ := slices.BinarySearchFunc(k.runs, i, func(r checkRun, i int64) int { return cmp.Compare(r.end, i+1) })
			k.runs[at].left++
		}
	}
}

// expire begins anew where no block has passed since then.
func (k *contentCheck) expire(since time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.latest.After(since) {
		k.pages = nil
	}
}
