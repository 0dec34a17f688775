package transfer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"s3mount/transfer/journal"
)

// An upload whose ID never reached the journal cannot be told from one of another
// program: nobody sweeps it by itself, and nobody one that could not be aborted. Its key
// is remembered, since some servers list uploads by whole keys only.

// lostUpload is what is known of an upload without an ID.
type lostUpload struct {
	record string
	noted  time.Time
}

// noteLost remembers that an upload may be left at a key.
func (e *Engine) noteLost(key string) error {
	rec := e.intentOf(key)
	e.mu.Lock()
	was, known := e.lost[key]
	if known {
		rec.ID = was.record
	}
	e.lost[key] = lostUpload{rec.ID, time.Now()}
	e.mu.Unlock()
	if known {
		return nil
	}
	return e.apply([]journal.Record{rec})
}

// neverMade remembers the key of an upload that could not be created, where it may be there
// all the same.
func (e *Engine) neverMade(key string, failed error) error {
	if retryable(failed) || errors.Is(failed, context.Canceled) {
		return e.noteLost(key)
	}
	return nil
}

// leaveUpload remembers the key of an upload that could not be aborted.
func (e *Engine) leaveUpload(key, id string, why error) {
	e.log.Warn("cannot abort an upload; `s3mount uploads` lists it", "key", key, "upload", id, "err", why)
	if err := e.noteLost(key); err != nil {
		e.log.Error("the journal cannot note the upload", "key", key, "upload", id, "err", err)
	}
}

// LostUploads is the keys at which an upload may be left whose ID is not known.
func (e *Engine) LostUploads() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.lost))
}

// ForgetLost is called when no upload is left at a key. One that may still be created is
// remembered.
func (e *Engine) ForgetLost(key string) error {
	e.mu.Lock()
	lost, known := e.lost[key]
	known = known && time.Since(lost.noted) >= lateLimit
	if known {
		delete(e.lost, key)
	}
	e.mu.Unlock()
	if !known {
		return nil
	}
	return e.apply(nil, lost.record)
}
