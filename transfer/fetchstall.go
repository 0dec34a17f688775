package transfer

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"s3mount/internal/s3"
)

// rangeAnswer is what one GET came to.
type rangeAnswer struct {
	number int // of the GET
	body   io.ReadCloser
	err    error
}

// race is a range that is asked for once, and once more when the answer is late.
type race struct {
	fetcher *Fetcher
	ctx     context.Context
	ask     *rangeAsk
	answers chan rangeAnswer
	done    chan struct{} // closed when it is over: what comes later closes itself
	ends    []context.CancelFunc
	open    int // GETs without an answer
}

// answer sends a GET and waits for its answer: the body, which the caller closes. It lives
// as long as ctx. When a reader waits for much longer than usual, a second GET is sent beside
// the first, and the one that is answered first wins: the server, or the connection of the
// other, has a bad moment.
func (f *Fetcher) answer(ctx context.Context, ask *rangeAsk) (io.ReadCloser, error) {
	r := &race{fetcher: f, ctx: ctx, ask: ask, answers: make(chan rangeAnswer), done: make(chan struct{})}
	winner := -1
	defer func() {
		close(r.done)
		for i, end := range r.ends {
			if i != winner {
				end()
			}
		}
	}()
	r.send()
	end := time.NewTimer(fetchHeaderPatience)
	defer end.Stop()
	late := time.NewTimer(f.link.Patience())
	defer late.Stop()
	for {
		select {
		case a := <-r.answers:
			if a.err == nil {
				winner = a.number
				return a.body, nil
			}
			if r.open--; r.open == 0 || !fetchAgain(a.err) {
				return nil, a.err
			}
		case <-late.C:
			if ask.wanted().IsZero() {
				late.Reset(fetchLeastPatience)
			} else if len(r.ends) == 1 {
				f.stats.hedges.Add(1)
				r.send()
			}
		case <-end.C:
			return nil, errFetchStalled
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// send starts a GET. Who runs the race is counted by the Fetcher, so Close waits for that
// and for this.
func (r *race) send() {
	ctx, end := context.WithCancel(r.ctx)
	number := len(r.ends)
	r.ends, r.open = append(r.ends, end), r.open+1
	r.fetcher.wg.Go(func() {
		body, err := r.fetcher.get(ctx, r.ask)
		select {
		case r.answers <- rangeAnswer{number, body, err}:
		case <-r.done:
			if err == nil {
				body.Close()
			}
		}
	})
}

// get sends one GET.
func (f *Fetcher) get(ctx context.Context, ask *rangeAsk) (io.ReadCloser, error) {
	f.stats.requests.Add(1)
	sent, o := time.Now(), ask.object
	var (
		body   io.ReadCloser
		answer s3.Object
		err    error
	)
	if ask.off == 0 && ask.n == o.Size {
		if body, answer, err = f.opts.Bucket.Get(ctx, o.Key, o.ETag, o.VersionID, o.Size); err == nil {
			f.expectWhole(ask.remote, o, answer.Sum)
		}
	} else {
		body, answer, err = f.opts.Bucket.GetRange(ctx, o.Key, o.ETag, o.VersionID, ask.off, ask.n)
	}
	if err != nil {
		return nil, err
	}
	f.link.answered(time.Since(sent))
	if answer.Size != o.Size { // GetRange has compared the ETag
		body.Close()
		return nil, &fetchTargetError{fmt.Errorf("%w: %q has %d bytes, not %d", ErrStale, o.Key, answer.Size, o.Size)}
	}
	ask.remote.learn(o, answer.VersionID)
	return body, nil
}

// expectWhole is told what the answer with a whole object names. Of one that was uploaded in
// parts the bucket may have other checksums.
func (f *Fetcher) expectWhole(r *Remote, o s3.Object, said s3.Sum) {
	switch {
	case said.Kind() != 0:
		f.expect(r, []s3.RunSum{{Size: o.Size, Sum: said}})
	case !s3.InParts(o.ETag):
		f.expect(r, nil)
	}
}

// stallWatch ends a request whose body brings nothing for too long: while a reader waits for
// it that is a multiple of the usual, twice as long with each request in vain.
type stallWatch struct {
	timer    *time.Timer
	patience time.Duration
	idle     atomic.Int64 // times that the timer has fired since the last byte
}

func (f *Fetcher) watch(ask *rangeAsk, cancel context.CancelCauseFunc) *stallWatch {
	w := &stallWatch{patience: fetchBodyPatience}
	if p := f.link.Patience(); p < fetchBodyPatience {
		w.patience = min(max(p, fetchLeastStall)<<min(ask.stalls, 10), fetchBodyPatience)
	}
	w.timer = time.AfterFunc(time.Hour, func() {
		waited := time.Duration(w.idle.Add(1)) * w.patience
		if ask.wanted().IsZero() && waited < fetchBodyPatience {
			w.timer.Reset(w.patience)
			return
		}
		cancel(errFetchStalled)
	})
	w.timer.Reset(w.patience)
	return w
}

// progress notes that bytes came.
func (w *stallWatch) progress() {
	w.idle.Store(0)
	w.timer.Reset(w.patience)
}
