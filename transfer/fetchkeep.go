package transfer

import (
	"context"
	"sync"
	"time"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
	"s3mount/internal/s3"
)

const (
	// keepQuiet is how long nothing was published before the copies of what was are put into
	// the cache on disk: that takes CPU and disk time which uploads need more.
	keepQuiet = 3 * time.Second
	// keepAtEnd is how long the end of the mount waits for the same.
	keepAtEnd = 5 * time.Second
)

// spoolCopy gives the bytes at off, a multiple of the block size, of a published content from
// local disk: p is a block or its beginning. False: they are not there, or not any more.
type spoolCopy func(p []byte, off int64) bool

// keeper puts what was published into the cache on disk, the newest first, when there
// is time, as much as half of it holds.
type keeper struct {
	wake chan struct{}
	ctx  context.Context
	stop context.CancelFunc

	busy sync.Mutex // held during a job; before mu

	mu     sync.Mutex
	queue  []keepJob // the newest last
	blocks int64     // that they take on disk
	latest time.Time // of the last publication
}

type keepJob struct {
	remote *Remote
	copy   spoolCopy
	blocks int64
}

// Keep says that the bytes of r are on local disk, for now.
func (f *Fetcher) Keep(r *Remote, copy spoolCopy) {
	if f.opts.Disk == nil {
		return
	}
	k := &f.keeper
	blocks := (r.Object().Size + mem.BlockSize - 1) / mem.BlockSize
	most := f.opts.Disk.Capacity() / mem.BlockSize / 2
	k.mu.Lock()
	k.latest = time.Now()
	if blocks > 0 {
		k.queue = append(k.queue, keepJob{r, copy, blocks})
		k.blocks += blocks
	}
	for k.blocks > most { // the oldest that do not fit are left out
		k.blocks -= k.queue[0].blocks
		k.queue[0] = keepJob{}
		k.queue = k.queue[1:]
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// keepLater runs until the Fetcher ends.
func (f *Fetcher) keepLater() {
	k := &f.keeper
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-k.wake:
		}
		for {
			k.mu.Lock()
			wait, left := keepQuiet-time.Since(k.latest), len(k.queue)
			k.mu.Unlock()
			if left == 0 {
				break
			}
			if wait > 0 {
				select {
				case <-k.ctx.Done():
					return
				case <-time.After(wait):
				}
				continue
			}
			f.keepOne()
		}
	}
}

// KeepNow puts what is left into the cache, for a few seconds at most. The engine calls
// it before it removes the local copies.
func (f *Fetcher) KeepNow() {
	k := &f.keeper
	defer time.AfterFunc(keepAtEnd, k.stop).Stop()
	for k.ctx.Err() == nil && f.keepOne() {
	}
}

// keepOne does one job; false when there is none.
func (f *Fetcher) keepOne() bool {
	k := &f.keeper
	k.busy.Lock()
	defer k.busy.Unlock()
	k.mu.Lock()
	n := len(k.queue)
	if n == 0 {
		k.mu.Unlock()
		return false
	}
	job := k.queue[n-1]
	k.queue[n-1] = keepJob{}
	k.queue = k.queue[:n-1]
	k.blocks -= job.blocks
	k.mu.Unlock()
	f.keepBlocks(k.ctx, job)
	return true
}

func (f *Fetcher) keepBlocks(ctx context.Context, job keepJob) {
	id, size := disk.ID(job.remote.id), job.remote.Object().Size
	_ = f.withBlock(ctx, func(buf []byte) error { // the end of the mount is no error
		for off := int64(0); off < size && ctx.Err() == nil; off += mem.BlockSize {
			i, p := off/mem.BlockSize, buf[:min(mem.BlockSize, size-off)]
			if _, there := f.opts.Disk.Run(id, i, 1); there {
				continue
			}
			if job.copy(p, off) && !f.opts.Disk.Add(id, i, p) {
				break
			}
		}
		return nil
	})
}

// sameBytes says that the bucket has made the object at key, with this ETag, by copying src
// while it had the ETag of src: what is kept on disk of one is of both, also after a restart.
func (f *Fetcher) sameBytes(src s3.Object, key, etag string) {
	if f.opts.Disk == nil || src.ETag == "" || etag == "" {
		return
	}
	made := ContentIDOf(s3.Object{Key: key, ETag: etag, Size: src.Size})
	f.opts.Disk.Alias(disk.ID(made), disk.ID(ContentIDOf(src)))
}
