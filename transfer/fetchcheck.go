package transfer

import (
	"errors"
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

// checkPatience is how long the last block waits for the checksums of the object.
const checkPatience = 3 * time.Second

// checkIdle is how long the sums of blocks are kept when none comes: a mount sees many files
// that nobody reads on, and the kernel remembers them for days.
const checkIdle = 5 * time.Minute

// checkParts is how many blocks of an object that was uploaded in parts pass before its
// checksums are asked for: each part may have its own.
const checkParts = 32

// checkBlock is told of each block of r before its last bytes are given out.
func (f *Fetcher) checkBlock(r *Remote, c *cache.Content, i int64, p []byte, loaded bool) {
	if c.Blocks() > checkMost {
		return
	}
	k := &r.check
	got := k.note(c.Size, i, sum.Only(k.takes(), p), loaded, s3.InParts(r.Object().ETag))
	if got.ask {
		f.askSums(r)
	}
	f.giveUp(r, got.bad)
	if got.whole {
		k.wait() // who reads to the end is to know
	}
}

// expect is told of the checksums that the bucket has of r.
func (f *Fetcher) expect(r *Remote, said []s3.RunSum) {
	f.giveUp(r, r.check.expect(r.Object().Size, said))
}

// giveUp drops runs of blocks that are not what the bucket has.
func (f *Fetcher) giveUp(r *Remote, bad []checkRun) {
	if len(bad) == 0 {
		return
	}
	o := r.Object()
	for _, run := range bad {
		f.opts.Log.Error("bytes did not match the checksum of the object: they are fetched again, and what was open fails",
			"key", o.Key, "etag", o.ETag, "from", run.first*mem.BlockSize, "to", (run.end-1)*mem.BlockSize+run.last)
		r.check.reset(run)
		f.blocks.Discard(r.id, run.first, run.end-run.first)
	}
	f.stats.damaged.Add(1)
	r.check.condemn()
	if f.opts.Damaged == nil {
		return
	}
	f.wg.Go(func() { // the caller is a flight or a request, which Close waits for
		f.opts.Damaged(o.Key) // waits for reads that wait for the flight
		r.check.condemn()     // and whoever has opened it since
	})
}

// askSums asks for the checksums of a version, beside the rest of its blocks.
func (f *Fetcher) askSums(r *Remote) {
	f.wg.Go(func() {
		defer close(r.check.asked)
		o := r.Object()
		said, err := f.opts.Bucket.Sums(f.ctx, o)
		if err != nil {
			f.opts.Log.Debug("no checksum to compare with", "key", o.Key, "error", err)
		}
		f.expect(r, said)
	})
}

// Damaged tells whether bytes that were read since then may be wrong. A descriptor that was
// opened before fails from then on.
func (f *File) Damaged(since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clean != nil && f.clean.remote != nil && f.clean.remote.check.damagedSince(since)
}
