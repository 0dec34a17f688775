package transfer

import (
	"slices"
	"time"

	"s3mount/transfer/journal"
)

// apply writes and removes records of the journal in one transaction, with what it refused
// before and is still owed.
func (e *Engine) apply(put []journal.Record, remove ...string) error {
	e.mu.Lock()
	around, owed, refused := e.around, e.owed, e.refused
	e.owed, e.refused = nil, nil
	e.mu.Unlock()
	if len(put)+len(remove)+len(owed)+len(refused) == 0 {
		return nil
	}
	if around == nil {
		around = func(apply func() error) error { return apply() }
	}
	err := around(func() error {
		return e.journal.Apply(slices.Concat(owed, put), slices.Concat(refused, remove)...)
	})
	if err != nil {
		e.applyLater(owed, refused...)
	}
	return err
}

// removeLater removes records, which nobody writes any more, as soon as the journal does not
// refuse that any more.
func (e *Engine) removeLater(ids ...string) { e.applyLater(nil, ids...) }

// applyLater is apply for what the journal has refused: it goes with the next transaction,
// whoever makes that.
func (e *Engine) applyLater(put []journal.Record, remove ...string) {
	if len(put)+len(remove) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.owed, e.refused = append(e.owed, put...), append(e.refused, remove...)
	if e.removing {
		return
	}
	e.removing = true
	e.keepTrying(func() (done bool) {
		if e.apply(nil) != nil {
			return false
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		done = len(e.owed)+len(e.refused) == 0
		e.removing = !done
		return done
	})
}

// keepTrying calls try in the background, with growing pauses, until it is done or the engine ends.
func (e *Engine) keepTrying(try func() (done bool)) {
	e.queue.wg.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-e.ctx.Done():
				return
			case <-time.After(backoff(n)):
			}
			if try() {
				return
			}
		}
	})
}

// noteOpen says that a file is being written under a name, as noteClosed.
func (e *Engine) noteOpen(id, key string) {
	if err := e.journal.NoteOpen(id, key); err != nil {
		e.log.Debug("cannot note the name of an open file", "key", key, "err", err)
	}
}

// noteClosed says that files are not being written any more. It is for what a crash cuts off;
// nothing fails because of it.
func (e *Engine) noteClosed(ids ...string) {
	for _, id := range ids {
		if err := e.journal.NoteClosed(id); err != nil {
			e.log.Debug("cannot note that a file was closed", "err", err)
		}
	}
}
