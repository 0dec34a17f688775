package transfer

import (
	"context"
	"errors"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/sum"
	"s3mount/transfer/plan"
)

// streamFrom is the size at which a growing file begins to upload, unless its name is a
// temporary one; a file that ends below is one PUT.
const streamFrom = 16 << 20

// upload is a multipart upload of one content. Guarded by File.mu.
type upload struct {
	key, id  string
	replaces *s3.Object // what the bucket had under key when it began
	meta     Meta
	layout   plan.Layout
	pieces   []plan.Piece // of an edit; nil: by layout

	parts    map[int]*part
	retries  retries
	next     int // first part that advance has not looked at
	starting bool
	intent   string // record that says that it is being created, when its content was dropped
	err      error  // no retry mends it
	ctx      context.Context
	cancel   context.CancelFunc
}

type partState uint8

const (
	partIdle partState = iota
	partQueued
	partSending
	partSent
)

type part struct {
	state  partState
	dirty  bool // written to since it was sent
	size   int64
	etag   string
	sum    s3.Sum // as the store compared it
	sums   sum.Sums
	misses int
	rests  bool        // until another part was taken
	again  time.Time   // while it waits for its next try
	timer  *time.Timer // that ends the wait
}

func (e *Engine) newUpload(key string, replaces *s3.Object, meta Meta, pieces []plan.Piece) *upload {
	ctx, cancel := context.WithCancel(e.ctx)
	return &upload{key: key, replaces: replaces, meta: meta, layout: e.layout, pieces: pieces, parts: map[int]*part{}, next: 2, ctx: ctx, cancel: cancel}
}

// span is the range of part n in a file of size bytes.
func (s *upload) span(n int, size int64) (p plan.Piece, ok bool) {
	if s.pieces != nil {
		if n > len(s.pieces) {
			return plan.Piece{}, false
		}
		return s.pieces[n-1], true
	}
	off, length := s.layout.Part(n)
	length = min(length, size-off)
	return plan.Piece{Off: off, Len: length}, length > 0
}

func (s *upload) count(size int64) int {
	if s.pieces != nil {
		return len(s.pieces)
	}
	return s.layout.Count(size)
}

// touch notes that [off, off+n) changed.
func (s *upload) touch(off, n int64) {
	if n <= 0 {
		return
	}
	for k := s.layout.At(off); k <= min(s.layout.At(off+n-1), plan.MaxParts); k++ {
		if p := s.parts[k]; p != nil {
			p.dirty = true
		}
	}
}

// part makes the entry of part n.
func (s *upload) part(n int) *part {
	if s.parts[n] == nil {
		s.parts[n] = &part{}
	}
	return s.parts[n]
}

// advance sends the parts of a growing file that are complete: the head and the
// tail wait for the close. The caller holds f.mu.
func (f *File) advance(c *content) {
	size := c.ext.Size()
	if c.stream == nil {
		if size < streamFrom || size < f.streamsFrom(c) || !c.scratch() || f.key == "" {
			return
		}
		c.stream = f.eng.newUpload(f.key, f.object, f.meta, nil)
		c.stream.layout = f.eng.layoutOf(c)
		c.stream.starting = true
		s := c.stream // an unlink may take it away before the goroutine runs
		f.eng.queue.wg.Go(func() { f.startStream(c, s) })
		return
	}
	s := c.stream
	if s.id == "" || s.err != nil {
		return
	}
	for last := s.layout.Sealed(size); s.next <= last && s.next <= plan.MaxParts; s.next++ {
		p, _ := s.span(s.next, size)
		if c.ext.Has(p.Off, p.Len, plan.Hole) {
			return
		}
		f.queuePart(c, s, s.next)
	}
}

func (f *File) queuePart(c *content, s *upload, n int) {
	s.part(n).state = partQueued
	f.submitPart(partJob{c, s, n})
}

// partJob is one part of one content's upload.
type partJob struct {
	c *content
	s *upload
	n int
}

// submitPart puts a part in line. The caller holds f.mu.
func (f *File) submitPart(j partJob) {
	span, _ := j.s.span(j.n, j.c.ext.Size())
	k := kindOf(span.Len)
	if span.Copy {
		k = copied
	}
	f.eng.sender.submit(k, span.Len, func(sent func()) bool { return f.sendPart(j, sent) })
}

// startStream creates the upload of a file that is still being written.
func (f *File) startStream(c *content, s *upload) {
	err := f.create(f.eng.ctx, c, s) // to its end, also when it is given up: else its ID is lost
	f.mu.Lock()
	defer f.mu.Unlock()
	s.starting = false
	if err != nil {
		if c.stream == s && s.ctx.Err() == nil {
			f.eng.log.Warn("upload while writing did not start; it will with the close", "key", s.key, "err", err)
		}
		s.err = err // whoever waits for it begins anew
		if c.stream == s {
			f.abandon(c) // it may have been created
		}
	} else {
		f.advance(c)
	}
	f.cond.Broadcast()
}

// create journals the intent, creates the upload, and journals its ID.
func (f *File) create(ctx context.Context, c *content, s *upload) error {
	props := Properties(&s.meta, s.key, c.born)
	if err := f.addTags(ctx, c, &props); err != nil {
		return err
	}
	if err := f.saveUpload(c, s.key); err != nil {
		return err
	}
	var opts []s3.UploadOption
	if s.pieces != nil {
		opts = append(opts, s3.WithCopies)
	}
	id, err := f.eng.bucket.CreateUpload(ctx, s.key, props, opts...)
	if err != nil {
		err = errors.Join(err, f.eng.neverMade(s.key, err))
		f.mu.Lock()
		c.intent = ""
		f.mu.Unlock()
		f.created(s)
		return err
	}
	f.mu.Lock()
	s.id, c.intent = id, ""
	dead := s.ctx.Err() != nil
	f.mu.Unlock()
	if dead {
		f.mu.Lock()
		f.note(f.eng.abortOf(s.key, id))
		f.mu.Unlock()
		f.created(s)
		return context.Canceled
	}
	return f.saveUpload(c, "")
}

// sendPart uploads one part and says how it went to whom it concerns, and whether
// the bucket has it.
func (f *File) sendPart(j partJob, taken func()) bool {
	c, s := j.c, j.s
	f.mu.Lock()
	p := s.part(j.n)
	span, ok := s.span(j.n, c.ext.Size())
	if !ok || s.ctx.Err() != nil || p.state != partQueued || !span.Copy && c.spool == nil && c.ext.Bytes(plan.Data) > 0 {
		p.state = partIdle
		if j.n == s.retries.probe && s.ctx.Err() == nil {
			f.tryAll(c, s)
		}
		f.cond.Broadcast()
		f.mu.Unlock()
		return false
	}
	if !s.retries.mayTry(j.n) {
		p.rests = true
		f.mu.Unlock()
		return false
	}
	if !span.Copy && c.left(span.Off, span.Len) {
		s.err = ErrUploadLost
		p.state = partIdle
		f.cond.Broadcast()
		f.mu.Unlock()
		return false
	}
	p.state, p.dirty, p.size = partSending, false, span.Len
	p.again, p.timer = time.Time{}, nil
	sums, known := c.sums.get(j.n, span.Off, span.Len)
	known = known && s.pieces == nil
	base := c.baseObject()
	if c.done != nil {
		base = c.done
	}
	body := c.body(span.Off, span.Len)
	f.mu.Unlock()
	var sent s3.Part
	var err error
	if span.Copy {
		sent, err = f.eng.bucket.UploadPartCopy(s.ctx, s.key, s.id, int32(j.n), *base, span.Off, span.Len)
	} else {
		if !known && s.pieces == nil {
			sums, err = sumOf(body)
		}
		if body.taken = taken; err == nil {
			sent, err = f.eng.bucket.UploadPart(s.ctx, s.key, s.id, int32(j.n), body, span.Len, f.partSums(s, &sums))
		}
	}
	body.Close()
	f.partSent(j, p, sent, sums, err)
	return err == nil
}

// partSums leaves the checksums out of uploads with copied parts, which
// S3-compatible servers refuse to mix.
func (f *File) partSums(s *upload, sums *sum.Sums) *sum.Sums {
	if s.pieces != nil {
		return nil
	}
	return sums
}

func (f *File) partSent(j partJob, p *part, sent s3.Part, sums sum.Sums, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.cond.Broadcast()
	if err == nil {
		p.state, p.etag, p.sum, p.sums, p.misses = partSent, sent.ETag, sent.Sum, sums, 0
		f.eng.signalFreed() // it may leave the spool
		f.lastErr = nil
		f.tryAll(j.c, j.s)
		return
	}
	p.state = partIdle
	if j.s.ctx.Err() != nil {
		return
	}
	if !retryable(err) {
		j.s.err = err
		return
	}
	f.lastErr = err
	f.partFailed(j, p)
}

// sendRest sends every part that the bucket does not have as it is now, and waits
// for all of them. The content is frozen.
func (f *File) sendRest(ctx context.Context, c *content, s *upload) ([]s3.Part, error) {
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cond.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	size := c.ext.Size()
	for s.starting {
		f.cond.Wait()
	}
	for s.err == nil {
		missing := 0
		for n := 1; n <= s.count(size); n++ {
			span, _ := s.span(n, size)
			p := s.part(n)
			if p.state == partSent && !p.dirty && p.size == span.Len {
				continue
			}
			missing++
			if p.state == partIdle || p.state == partSent {
				f.queuePart(c, s, n)
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case s.ctx.Err() != nil:
			return nil, errors.New("the upload was given up")
		case missing == 0:
			return s.list(size), nil
		}
		f.cond.Wait()
	}
	return nil, s.err
}

// endStream forgets an upload that was completed. The caller holds File.mu.
func (c *content) endStream() {
	if c.stream != nil {
		c.stream.cancel() // the engine's context holds on to it
	}
	c.stream = nil
}

func (s *upload) list(size int64) []s3.Part {
	var out []s3.Part
	for n := 1; n <= s.count(size); n++ {
		p := s.parts[n]
		part := s3.Part{Number: int32(n), ETag: p.etag, Size: p.size}
		if s.pieces == nil {
			part.Sums, part.Sum = &p.sums, p.sum
		}
		out = append(out, part)
	}
	return out
}

func retryable(err error) bool {
	return s3.Retryable(err) || errors.Is(err, context.DeadlineExceeded)
}

// mendable tells whether the publisher's next try may succeed. A lost upload is
// begun anew then.
func mendable(err error) bool { return retryable(err) || errors.Is(err, s3.ErrNoUpload) }

// backoff is the pause before the n-th repetition: 0.25 s, doubling, at most 15 s.
func backoff(n int) time.Duration {
	return min(250*time.Millisecond<<min(n-1, 10), 15*time.Second)
}
