package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"s3mount/internal/s3"
)

// guard knows which preconditions the store holds. It finds out before the first
// publication, and remembers that in the journal's directory. Where they are not
// held, a HEAD immediately before the request stands in for them: another client
// that writes between the two is overwritten.
type guard struct {
	begun sync.Once

	mu     sync.Mutex
	asking chan struct{} // closed when who asks now has ended; nil: nobody does
	known  bool
	holds  s3.Conditions
}

// guardNote is the name under which the journal's directory remembers.
const guardNote = "conditions"

// guardAge is how long that is believed: stores learn.
const guardAge = 30 * 24 * time.Hour

// guardRecord says what the store holds. Without a time somebody began to ask, and
// perhaps did not get to removing the object at the scratch key.
type guardRecord struct {
	Holds s3.Conditions `json:"holds"`
	Asked time.Time     `json:"asked"`
}

// resume asks again where an earlier process did not get to the end of it.
func (g *guard) resume(e *Engine) {
	var r guardRecord
	if raw := e.journal.Note(guardNote); json.Unmarshal(raw, &r) == nil && r.Asked.IsZero() {
		g.begin(e)
	}
}

// begin finds out while a file that was closed waits for its publication.
func (g *guard) begin(e *Engine) {
	if e.opts.ScratchKey == "" {
		return
	}
	g.begun.Do(func() {
		e.queue.wg.Go(func() {
			if err := g.learn(e.ctx, e); err != nil {
				e.log.Debug("store not asked yet for its preconditions", "err", err)
			}
		})
	})
}

// learn finds out once; concurrent callers wait for the first. Without an answer of
// the store it fails.
func (g *guard) learn(ctx context.Context, e *Engine) error {
	for {
		g.mu.Lock()
		if g.known {
			g.mu.Unlock()
			return nil
		}
		others := g.asking
		if others == nil {
			g.asking = make(chan struct{})
			g.mu.Unlock()
			err := g.ask(ctx, e)
			g.mu.Lock()
			close(g.asking)
			g.asking = nil
			g.mu.Unlock()
			return err
		}
		g.mu.Unlock()
		select {
		case <-others:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// found keeps what the store holds.
func (g *guard) found(holds s3.Conditions) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known, g.holds = true, holds
}

func (g *guard) ask(ctx context.Context, e *Engine) error {
	var r guardRecord
	if raw := e.journal.Note(guardNote); json.Unmarshal(raw, &r) == nil && time.Since(r.Asked) < guardAge {
		g.found(r.Holds)
		return nil
	}
	if err := g.note(e, guardRecord{}); err != nil {
		return err
	}
	holds, left, err := e.bucket.ProbeConditions(ctx, e.opts.ScratchKey)
	switch {
	case err != nil && (retryable(err) || ctx.Err() != nil || errors.Is(err, s3.ErrNoBucket)):
		return err
	case err != nil:
		e.log.Warn("cannot find out whether the store holds preconditions: each write is preceded by a HEAD", "err", err)
		holds = s3.Conditions{}
	case !holds.Writes:
		e.log.Warn("the store ignores preconditions: each write is preceded by a HEAD, and a client that writes the same key at that very moment may be overwritten")
	}
	g.found(holds)
	if left != nil {
		e.log.Warn("the object that asked for preconditions could not be removed: the next mount does it", "key", e.opts.ScratchKey, "err", left)
	}
	if err != nil || left != nil {
		return nil // perhaps the next mount may
	}
	return g.note(e, guardRecord{holds, time.Now()})
}

func (g *guard) note(e *Engine, r guardRecord) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return e.journal.SetNote(guardNote, raw)
}

// conditions is what the store holds.
func (e *Engine) conditions(ctx context.Context) (s3.Conditions, error) {
	if e.opts.ScratchKey == "" {
		return s3.Conditions{Writes: true}, nil
	}
	err := e.guard.learn(ctx, e)
	return e.guard.get(), err
}

func (g *guard) get() s3.Conditions {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.holds
}

// guardWrite precedes a PUT or Complete under a precondition, and returns that as it
// is to be sent: a store that does not hold preconditions may refuse them.
func (e *Engine) guardWrite(ctx context.Context, key string, cond s3.Cond) (s3.Cond, error) {
	if cond == (s3.Cond{}) {
		return cond, nil
	}
	holds, err := e.conditions(ctx)
	if err != nil || holds.Writes {
		return cond, err
	}
	return s3.Cond{}, e.check(ctx, key, cond)
}

// guardCopy precedes a CopyObject under a precondition on its target, which most
// stores ignore.
func (e *Engine) guardCopy(ctx context.Context, key string, cond s3.Cond) (s3.Cond, error) {
	if cond == (s3.Cond{}) {
		return cond, nil
	}
	holds, err := e.conditions(ctx)
	if err != nil || holds.Copies {
		return cond, err
	}
	if !holds.Writes {
		return s3.Cond{}, e.check(ctx, key, cond)
	}
	return cond, e.check(ctx, key, cond)
}

// check asks for the object at key, and fails with ErrPrecondition when it is not
// as cond says.
func (e *Engine) check(ctx context.Context, key string, cond s3.Cond) error {
	now, err := e.bucket.Head(ctx, key)
	absent := errors.Is(err, s3.ErrNotFound)
	if err != nil && !absent {
		return err
	}
	if cond.IfNoneMatch && absent || cond.IfMatch != "" && !absent && now.ETag == cond.IfMatch {
		return nil
	}
	return &s3.Error{Op: "HeadObject", Key: key, Kind: s3.ErrPrecondition, Detail: "another version is there"}
}
