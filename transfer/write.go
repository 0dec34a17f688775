package transfer

import (
	"context"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// WriteAt writes p at off into the spool. p is not kept. When it fails, n bytes were
// written all the same.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	end := off + int64(len(p))
	if end > f.eng.layout.MaxSize() {
		return 0, ErrTooBig
	}
	if len(p) == 0 {
		return 0, nil
	}
	c, room, err := f.writable(ctx, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	n, err = c.spool.WriteAt(p, off)
	f.mu.Lock()
	defer f.mu.Unlock()
	c.inflight--
	f.cond.Broadcast()
	if f.cancelled {
		return 0, ErrCancelled
	}
	before := c.ext.Bytes(plan.Data)
	left := c.left(off, int64(n)) // since the room was reserved
	if left {
		f.wroteAround(c, p[:n], off)
	} else if n > 0 {
		f.wrote(c, p[:n], off)
	}
	c.spool.Unreserve(room - (c.ext.Bytes(plan.Data) - before))
	if left {
		return 0, ErrOverflowed
	}
	return n, err
}

// wrote notes that the spool has p at off. The caller holds f.mu.
func (f *File) wrote(c *content, p []byte, off int64) {
	n := int64(len(p))
	if size := c.ext.Size(); off > size {
		c.sums.forget(size, off)
	}
	c.ext.Set(off, n, plan.Data)
	f.touched(c, off, n)
	c.sums.add(f.eng.layoutOf(c), p, off)
	f.advance(c)
}

// wroteAround is wrote of what does not lie in parts that have left the spool. The
// caller holds f.mu.
func (f *File) wroteAround(c *content, p []byte, off int64) {
	for end := off + int64(len(p)); off < end; {
		n, gone := end-off, false
		if x := c.ext.Range(off, n); len(x) > 0 {
			n, gone = x[0].Len, x[0].Kind == plan.Sent
		}
		if !gone {
			f.wrote(c, p[:n], off)
		} else if err := c.spool.Punch(off, n); err != nil {
			f.eng.log.Warn("cannot free spool room", "key", f.key, "err", err)
		}
		p, off = p[n:], off+n
	}
}

// touched notes that [off, off+n) changed. The caller holds f.mu.
func (f *File) touched(c *content, off, n int64) {
	c.changes++
	c.kept.forget(f.eng.layoutOf(c), off, off+n)
	f.stamp()
	if c.base != nil && !c.ext.Has(0, c.ext.Size(), plan.Base) {
		c.base = nil
	}
	if c.stream != nil {
		c.stream.touch(off, n)
	}
}

// stamp notes that bytes were changed at this moment. The caller holds f.mu.
func (f *File) stamp() {
	f.meta.MtimeNS, f.meta.CtimeNS, f.timed = now(), 0, false
}

// writable returns the open content with room for n bytes at off, as much as was
// booked for them, and counts a write on its way.
func (f *File) writable(ctx context.Context, off, n int64) (c *content, room int64, err error) {
	for {
		f.mu.Lock()
		c, err := f.openContent()
		if err != nil {
			f.mu.Unlock()
			return nil, 0, err
		}
		if err := f.makeSpool(c); err != nil {
			f.mu.Unlock()
			return nil, 0, err
		}
		if c.frozen { // by a sync while the spool file was made
			f.mu.Unlock()
			continue
		}
		if off < c.sealed {
			f.mu.Unlock()
			if err := f.unseal(c); err != nil {
				return nil, 0, err
			}
			continue
		}
		if c.left(off, n) {
			f.mu.Unlock()
			return nil, 0, ErrOverflowed
		}
		room := n
		for _, x := range c.ext.Range(off, n) {
			if x.Kind == plan.Data {
				room -= x.Len
			}
		}
		spool := c.spool
		c.inflight++
		f.mu.Unlock()
		if err := f.eng.reserve(ctx, f, spool, room); err != nil {
			f.mu.Lock()
			c.inflight--
			f.cond.Broadcast()
			f.mu.Unlock()
			return nil, 0, err
		}
		return c, room, nil
	}
}

// openContent is the content that may be written in place; a frozen head gets one
// on top. The caller holds f.mu.
func (f *File) openContent() (*content, error) {
	if f.cancelled {
		return nil, ErrCancelled
	}
	f.noteWriter()
	c := f.head()
	if !c.frozen {
		return c, nil
	}
	return f.push(derived(c))
}

// settled is the open content, as pick gives it, once no write is on its way into
// it. A sync may freeze it meanwhile; then the next one is taken. The caller holds
// f.mu.
func (f *File) settled(pick func() (*content, error)) (*content, error) {
	for {
		c, err := pick()
		if err != nil {
			return nil, err
		}
		for c.inflight > 0 {
			f.cond.Wait()
		}
		if c.frozen {
			continue
		}
		if c.sealed == 0 {
			return c, nil
		}
		f.mu.Unlock()
		err = f.unseal(c)
		f.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// push adds an open content. The caller holds f.mu.
func (f *File) push(c *content) (*content, error) {
	if f.key != "" {
		if err := f.eng.journal.NoteOpen(c.id, f.key); err != nil {
			return nil, err
		}
	}
	f.chain = append(f.chain, c)
	if f.key != "" {
		f.eng.dirtyAdd(f)
	}
	return c, nil
}

// makeSpool gives the content its spool file. The caller holds f.mu; it is let go
// meanwhile.
func (f *File) makeSpool(c *content) error {
	for c.spooling {
		f.cond.Wait()
	}
	if c.spool != nil {
		return nil
	}
	c.spooling = true
	f.mu.Unlock()
	spool, err := f.eng.journal.Spool.Create(c.id)
	f.mu.Lock()
	c.spool, c.spooling = spool, false
	f.cond.Broadcast()
	return err
}

// Truncate cuts the file, or extends it with a hole. To the size that it has: nothing
// changes.
func (f *File) Truncate(ctx context.Context, size int64) error {
	if size > f.eng.layout.MaxSize() {
		return ErrTooBig
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if size == f.head().ext.Size() {
		return nil
	}
	return f.resize(size)
}

// Clear makes the file empty, as O_TRUNC does: one that is empty gets a new time.
func (f *File) Clear(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resize(0)
}

// resize sets the size. The caller holds f.mu.
func (f *File) resize(size int64) error {
	c, err := f.settled(func() (*content, error) {
		f.noteWriter()
		if last := f.head(); size == 0 && last.frozen && !f.cancelled {
			return f.push(&content{id: journal.NewID(), born: journal.NewID()}) // nothing of the old version stays
		}
		return f.openContent()
	})
	if err != nil {
		return err
	}
	if part := f.eng.layoutOf(c).At(size); size > 0 {
		if from, n := f.eng.layoutOf(c).Part(part); c.left(from, min(n, size-from)) && size > from {
			return ErrOverflowed // the part would have to be sent again, shorter
		}
	}
	old, held := c.ext.Size(), c.ext.Bytes(plan.Data)
	if size < old && c.spool != nil {
		if err := c.spool.Truncate(size); err != nil {
			return err // nothing has changed
		}
	}
	f.announce(c, size)
	c.ext.Truncate(size)
	if c.spool != nil {
		c.spool.Unreserve(held - c.ext.Bytes(plan.Data))
	}
	c.sums.forget(min(old, size), max(old, size))
	f.touched(c, min(old, size), max(old, size)-min(old, size))
	return nil
}

// announce notes that the file will have size bytes. It counts before the first byte
// only, since later the parts have their places.
func (f *File) announce(c *content, size int64) {
	if f.eng.layout.Fixed == 0 && !c.frozen && c.stream == nil && c.scratch() && c.ext.Bytes(plan.Data) == 0 {
		c.hint = max(c.hint, size)
	}
}

// layoutOf is where the parts of a content begin when it is streamed.
func (e *Engine) layoutOf(c *content) plan.Layout {
	l := e.layout
	l.Hint = c.hint
	return l
}

// Allocate makes the file reach to off+n; keepSize leaves its size alone. Room is
// taken when bytes are written. The file counts as written to in any case, as on a local disk.
func (f *File) Allocate(ctx context.Context, off, n int64, keepSize bool) error {
	if !keepSize && off+n > f.Size() {
		return f.Truncate(ctx, off+n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if keepSize {
		f.announce(f.head(), off+n)
	}
	c, err := f.settled(f.openContent)
	if err != nil {
		return err
	}
	f.touched(c, off, 0)
	return nil
}

// PunchHole makes [off, off+n) inside the file zeros.
func (f *File) PunchHole(ctx context.Context, off, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(n, f.head().ext.Size()-off)
	if n <= 0 {
		return nil
	}
	c, err := f.settled(f.openContent)
	if err != nil {
		return err
	}
	if c.left(off, n) {
		return ErrOverflowed
	}
	if c.spool != nil {
		if err := c.spool.Punch(off, n); err != nil {
			c.sums.forget(off, off+n) // some of it may be zeros
			f.touched(c, off, n)
			return err
		}
	}
	held := c.ext.Bytes(plan.Data)
	c.ext.Set(off, n, plan.Hole)
	if c.spool != nil {
		c.spool.Unreserve(held - c.ext.Bytes(plan.Data))
	}
	c.sums.forget(off, off+n)
	f.touched(c, off, n)
	return nil
}
