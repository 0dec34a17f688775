package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"s3mount/internal/s3"
)

const (
	// fetchHeaderPatience is how long an answer may take, fetchBodyPatience how long
	// its body may bring nothing.
	fetchHeaderPatience = 10 * time.Second
	fetchBodyPatience   = 5 * time.Second
	// fetchLeastPatience is how long a reader waits for an answer at least before another
	// request is sent, and fetchLeastStall for the next bytes of a body.
	fetchLeastPatience = 500 * time.Millisecond
	fetchLeastStall    = time.Second
	// fetchPatience is how long a range is tried again while nothing comes, counted
	// from the last byte, or from when a reader began to wait for it.
	fetchPatience = 60 * time.Second

	// fetchProgress is how many bytes a broken request has brought after which the rest is
	// asked for at once: the server is well, the connection was not.
	fetchProgress = 64 << 10

	fetchFirstPause = 100 * time.Millisecond
	fetchLastPause  = 2 * time.Second
)

var errFetchStalled = errors.New("no bytes arrived for too long")

// fetchTarget takes the bytes of a range, in order.
type fetchTarget interface {
	Range() (off, n int64) // what is missing still
	Buffer() []byte        // room for the next bytes
	Advance(n int) error   // n bytes were put there
}

// pull brings what is missing in a target, in as many requests as it takes. wanted is
// when somebody began to wait for it.
func (f *Fetcher) pull(ctx context.Context, r *Remote, to fetchTarget, wanted func() time.Time) error {
	last, stalls := time.Now(), 0 // of the last byte; since then
	for try := 0; ; try++ {
		off, n := to.Range()
		if n == 0 {
			return nil
		}
		o := r.Object()
		got, err := f.request(ctx, &rangeAsk{o, off, n, wanted, stalls, r}, to)
		if err == nil {
			continue // a short body: the next request tells
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if got > 0 {
			last, try, stalls = time.Now(), 0, 0
		}
		if r.moved(o) && try < 10 {
			continue
		}
		if !fetchAgain(err) {
			return r.failure(err)
		}
		since := last
		if w := wanted(); w.After(since) {
			since = w
		}
		if time.Since(since) > fetchPatience {
			return fmt.Errorf("read of %q at %d: %w", o.Key, off, err)
		}
		f.stats.retries.Add(1)
		f.opts.Log.Debug("range request is sent again", "key", o.Key, "offset", off, "try", try, "error", err)
		if errors.Is(err, errFetchStalled) {
			stalls++
			continue // it has waited long enough
		}
		if got >= fetchProgress {
			continue
		}
		if err := fetchPause(ctx, try); err != nil {
			return err
		}
	}
}

// rangeAsk is a range of an object that is asked for.
type rangeAsk struct {
	object s3.Object
	off, n int64
	wanted func() time.Time // when somebody began to wait for it; zero: nobody
	stalls int              // requests before it that brought nothing
	remote *Remote
}

// request sends a GET and moves its body into the target. It returns how many bytes came.
func (f *Fetcher) request(ctx context.Context, ask *rangeAsk, to fetchTarget) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sent := time.Now()
	body, err := f.answer(ctx, ask)
	if err != nil {
		return 0, fetchCause(ctx, err)
	}
	defer body.Close()
	idle := f.watch(ask, cancel)
	defer idle.timer.Stop()
	var got int64
	for got < ask.n {
		p := to.Buffer()
		if int64(len(p)) > ask.n-got {
			p = p[:ask.n-got]
		}
		k, err := body.Read(p)
		if k > 0 {
			got += int64(k)
			idle.progress()
			f.stats.fetched.Add(int64(k))
			if err := to.Advance(k); err != nil {
				return got, &fetchTargetError{err}
			}
		}
		if err != nil && got < ask.n {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return got, fetchCause(ctx, err)
		}
	}
	f.link.carried(got, time.Since(sent), f.blocks.Gauges().Flights <= linkAlone)
	return got, nil
}

// fetchTargetError is an error that another request does not mend.
type fetchTargetError struct{ err error }

func (e *fetchTargetError) Error() string { return e.err.Error() }
func (e *fetchTargetError) Unwrap() error { return e.err }

// fetchCause names a stall as what it is: the context error that it causes is not the
// reader's.
func fetchCause(ctx context.Context, err error) error {
	if context.Cause(ctx) == errFetchStalled {
		return errFetchStalled
	}
	return err
}

// fetchAgain tells whether another request may bring what this one did not. What
// s3 did not classify broke in the body, and may.
func fetchAgain(err error) bool {
	var target *fetchTargetError
	if errors.As(err, &target) {
		return false
	}
	var known *s3.Error
	return !errors.As(err, &known) || s3.Retryable(err)
}

// failure is the error of a read for the final answer of the bucket.
func (r *Remote) failure(err error) error {
	switch {
	case errors.Is(err, ErrStale):
		return err
	case errors.Is(err, s3.ErrPrecondition), errors.Is(err, s3.ErrChanged), errors.Is(err, s3.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrStale, err)
	case errors.Is(err, s3.ErrArchived):
		r.markArchived()
	}
	return err
}

// fetchPause waits before the next try, longer each time, never in step with others.
func fetchPause(ctx context.Context, try int) error {
	pause := min(fetchFirstPause<<min(try, 10), fetchLastPause)
	pause = pause/2 + rand.N(pause/2)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}
