package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// A file that the spool has no room for overflows: parts that the bucket has taken
// leave the disk while the rest is still being written. From then on it is not safe
// here, but only in the bucket: its close waits until it is published, and if the
// bucket loses the upload, the close fails. Its head stays, since muxers patch it.

var (
	// ErrOverflowed: the bytes lie in an upload that is not finished yet, where they
	// can be neither read nor changed.
	ErrOverflowed = fmt.Errorf("%w: the file is larger than it, and these bytes have left it; give it more room with --spool-size", ErrSpoolFull)
	// ErrUploadLost: the bucket dropped the upload of a file that had overflowed.
	ErrUploadLost = errors.New("the bucket dropped the unfinished upload of a file that is larger than the spool; write it again")
)

// hastenPause is the least time between two looks at all files whose publication might begin
// sooner: there may be very many.
const hastenPause = time.Second

// stalled is how long nothing may leave a full spool before a write fails: the
// bucket is out of reach.
const stalled = time.Minute

// reserve books spool room for n bytes of the file. When the spool is full, local
// copies of published files go first; then it waits for publications; then parts of
// files that are being written leave it. Where nothing of that is on its way it
// fails with ErrSpoolFull.
func (e *Engine) reserve(ctx context.Context, f *File, s *journal.File, n int64) error {
	if n <= 0 {
		return nil
	}
	timer := time.NewTimer(stalled)
	defer timer.Stop()
	var hastened time.Time
	for {
		freed := e.roomFreed()
		err := s.Reserve(n)
		if err == nil || !errors.Is(err, ErrSpoolFull) {
			return err
		}
		if f.isCancelled() {
			return ErrCancelled
		}
		if e.evictLocal() || e.overflow(f) {
			continue
		}
		look := time.Since(hastened) >= hastenPause
		if look && e.streamHeld() {
			continue
		}
		if !e.anyPending() && !e.streaming() {
			return err
		}
		if look {
			hastened = time.Now()
			for _, x := range e.dirtyFiles() {
				if !x.failing() { // else it has its own pause
					x.hasten("")
				}
			}
		}
		select {
		case <-freed:
			timer.Reset(stalled)
		case <-timer.C:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// failing tells whether the last try of the file has failed.
func (f *File) failing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastErr != nil
}

// roomFreed is closed when spool room may have become free.
func (e *Engine) roomFreed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.freed
}

// overflow frees room of files that are being written: of f when it takes most of
// the spool, or when no closed file will leave it soon.
func (e *Engine) overflow(f *File) bool {
	pending := e.anyPending()
	if !pending || f.spoolBytes() > e.journal.Spool.Limit()/2 {
		if f.overflow() {
			return true
		}
	}
	if pending {
		return false
	}
	for _, other := range e.dirtyFiles() {
		if other != f && other.overflow() {
			return true
		}
	}
	return false
}

// streaming tells whether a file that is being written has parts on their way.
func (e *Engine) streaming() bool {
	for _, f := range e.dirtyFiles() {
		f.mu.Lock()
		s := f.head().stream
		on := s != nil && s.err == nil
		f.mu.Unlock()
		if on {
			return true
		}
	}
	return false
}

// spoolBytes is what the newest content takes in the spool.
func (f *File) spoolBytes() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.head()
	return c.ext.Bytes(plan.Data)
}

// overflow takes every part that the bucket has, but the first, out of the spool. It
// tells whether there were any. What a close has made safe here stays.
func (f *File) overflow() bool {
	f.saving.Lock() // until the parts are gone: no record may say that they are here
	defer f.saving.Unlock()
	f.mu.Lock()
	c := f.head()
	s := c.stream
	if c.frozen || f.closed() || s == nil || s.id == "" || s.pieces != nil || c.spool == nil || len(c.spare()) == 0 {
		f.mu.Unlock()
		return false
	}
	f.mu.Unlock()
	if err := f.unsave(c); err != nil {
		f.eng.log.Error("cannot free spool room", "key", f.Key(), "err", err)
		return false
	}
	return f.letGo(c)
}

// spare is the parts that may leave the spool: the bucket has them as they are, and
// they are not the first one. The caller holds File.mu.
func (c *content) spare() (gone []plan.Piece) {
	s := c.stream
	if c.frozen || s == nil {
		return nil
	}
	for n := 2; n < s.next; n++ {
		p := s.parts[n]
		span, ok := s.span(n, c.ext.Size())
		if p == nil || !ok || p.state != partSent || p.dirty || p.size != span.Len {
			continue
		}
		if x := c.ext.Range(span.Off, span.Len); len(x) != 1 || x[0].Kind != plan.Data {
			continue // has left already
		}
		gone = append(gone, span)
	}
	return gone
}

// unsave takes back that the journal has the content whole, when an earlier flush
// saved it. The caller holds f.saving.
func (f *File) unsave(c *content) error {
	f.mu.Lock()
	if c.rec == nil {
		f.mu.Unlock()
		return nil
	}
	rec := *c.rec
	f.mu.Unlock()
	rec.Open, rec.Sums = true, nil
	if err := f.apply([]journal.Record{rec}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.rec, c.durable, c.sealed, c.kept = nil, 0, 0, nil
	return nil
}

// letGo takes the parts out of the spool that the bucket has. It tells whether there
// were any. The caller holds f.saving.
func (f *File) letGo(c *content) bool {
	f.mu.Lock()
	gone, spool, first := c.spare(), c.spool, !c.overflowed()
	for _, p := range gone {
		c.ext.Set(p.Off, p.Len, plan.Sent)
	}
	if len(gone) > 0 {
		spool.Ref()
		f.overflows++
		if first {
			f.eng.log.Warn("the file is larger than the spool: its close waits until it is in the bucket", "key", f.key, "spool_bytes", f.eng.journal.Spool.Limit())
		}
	}
	f.mu.Unlock()
	for _, p := range gone {
		if err := spool.Punch(p.Off, p.Len); err != nil {
			f.eng.log.Warn("cannot free spool room", "key", f.Key(), "err", err)
		}
		spool.Unreserve(p.Len)
	}
	if len(gone) > 0 {
		spool.Unref()
	}
	return len(gone) > 0
}

// left tells whether bytes of [off, off+n) have left the spool. The caller holds
// File.mu.
func (c *content) left(off, n int64) bool { return c.ext.Has(off, n, plan.Sent) }

func (f *File) isCancelled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cancelled
}

// overflowed tells whether any of its bytes have left the spool. The caller holds
// File.mu.
func (c *content) overflowed() bool { return c.left(0, c.ext.Size()) }

// overflowing tells whether the newest content, or one that it may build on, is not
// safe here.
func (f *File) overflowing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.chain, (*content).overflowed)
}
