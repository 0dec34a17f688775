package fs

import (
	"context"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// patience is how long a call goes on after its caller was interrupted.
//
// Any signal interrupts, also those that the application handles and ignores
// (window size, timers, the SIGURG with which Go programs preempt
// themselves), and on a local disk none of them ends a read or a write. So a
// call first tries to finish; only one that hangs gives up, which is what
// lets the process be killed.
const patience = 3 * time.Second

// call is the context of one request. It is cancelled patience after the
// interrupt, and costs a goroutine only if somebody waits for that. It ends
// with the request: nothing may keep it.
type call struct {
	context.Context // as go-fuse made it: done at the interrupt

	mu struct {
		sync.Mutex
		done  chan struct{} // nil until somebody asks
		ended chan struct{}
		err   error
	}
}

func begin(ctx context.Context) *call { return &call{Context: ctx} }

// Done implements context.Context.
func (c *call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.done == nil {
		c.mu.done = make(chan struct{})
		c.mu.ended = make(chan struct{})
		go c.watch(c.mu.ended)
	}
	return c.mu.done
}

// Err implements context.Context.
func (c *call) Err() error {
	if c.interrupted() {
		c.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.err
}

// interrupted reports whether a signal has reached the caller.
func (c *call) interrupted() bool { return c.Context.Err() != nil }

// cancelled returns the channel that names the request.
func (c *call) cancelled() <-chan struct{} {
	if fc, ok := c.Context.(*fuse.Context); ok {
		return fc.Cancel
	}
	return nil
}

// end releases who waits for the call.
func (c *call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.ended != nil {
		close(c.mu.ended)
		c.mu.ended = nil
		c.cancel()
	}
}

// cancel needs mu.
func (c *call) cancel() {
	if c.mu.err == nil {
		c.mu.err = context.Canceled
		close(c.mu.done)
	}
}

func (c *call) watch(ended <-chan struct{}) {
	select {
	case <-c.Context.Done():
	case <-ended:
		return
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-t.C:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cancel()
	case <-ended:
	}
}
