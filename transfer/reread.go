package transfer

import (
	"context"
	"errors"
)

// version is what a read saw of a file when it looked for its bytes.
type version struct {
	clean *content
	key   string
}

// Read returns up to n bytes at off; less only at the end of the file.
//
// A version that goes because this mount publishes the next one, or moves it to
// another key, is not stale: its bytes are looked for again where they are now.
func (f *File) Read(ctx context.Context, off int64, n int) (*Chunks, error) {
	for {
		f.mu.Lock()
		seen := version{f.clean, f.key}
		f.mu.Unlock()
		c, err := f.readOnce(ctx, off, n)
		if !errors.Is(err, ErrStale) || !f.renewed(ctx, seen) {
			return c, err
		}
	}
}

// renewed waits for a request of our own that may have replaced the object, and
// tells whether anything has changed since seen.
func (f *File) renewed(ctx context.Context, seen version) bool {
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cond.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.completing && seen == (version{f.clean, f.key}) && ctx.Err() == nil {
		f.cond.Wait()
	}
	return ctx.Err() == nil && seen != version{f.clean, f.key}
}
