package fs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// request returns a call and the function that interrupts it.
func request() (*call, func()) {
	cancel := make(chan struct{})
	return begin(&fuse.Context{Cancel: cancel}), func() { close(cancel) }
}

func TestInterruptedCallGoesOnForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, interrupt := request()
		defer c.end()
		started := time.Now()
		done := c.Done()
		interrupt()
		time.Sleep(patience / 2)
		if err := c.Err(); err != nil {
			t.Fatalf("Err before patience ran out = %v", err)
		}
		<-done
		if got := time.Since(started); got != patience {
			t.Errorf("cancelled after %v, want %v", got, patience)
		}
		if !errors.Is(c.Err(), context.Canceled) {
			t.Errorf("Err = %v, want Canceled", c.Err())
		}
	})
}

func TestErrSeesAnInterruptThatNobodyWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, interrupt := request()
		defer c.end()
		interrupt()
		for c.Err() == nil {
			time.Sleep(patience / 4)
		}
	})
}

func TestEndReleasesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := request()
		child, cancel := context.WithTimeout(c, time.Hour)
		defer cancel()
		c.end()
		<-child.Done()
		if c.interrupted() {
			t.Error("a call that ended counts as interrupted")
		}
		c.end() // as deferred calls may
	})
}
