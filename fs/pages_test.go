package fs

import (
	"syscall"
	"testing"
	"testing/synctest"

	"s3mount/transfer"
)

// TestOpensShareThePages counts how often opens drop pages. Only one with nobody beside it may.
func TestOpensShareThePages(t *testing.T) {
	var p pages
	drops := 0
	drop := func() syscall.Errno { drops++; return 0 }
	first, second := new(transfer.File), new(transfer.File)
	for _, step := range []struct {
		name  string
		open  *handle
		close *handle
		stale bool
		want  int
	}{
		{name: "the first open", open: &handle{file: first, paged: true}},
		{name: "another one of the same version", open: &handle{file: first, paged: true, write: true}},
		{name: "one for writing only, past the pages", open: &handle{file: first, write: true, direct: true}},
		{name: "one beside others, with old pages", stale: true, open: &handle{file: first, paged: true, write: true}},
		{name: "one alone, with old pages", close: &handle{}, open: &handle{file: first, paged: true}, want: 1},
		{name: "one alone, again", close: &handle{}, open: &handle{file: first, paged: true}},
		{name: "one for writing only, of another version", close: &handle{}, open: &handle{file: second, write: true, direct: true}},
		{name: "one that can be mapped, of another version", close: &handle{}, open: &handle{file: second, paged: true, direct: true}, want: 1},
	} {
		if step.close != nil { // all
			p.mu.cached, p.mu.writers = 0, 0
		}
		p.mu.stale = p.mu.stale || step.stale
		drops = 0
		if !p.open(step.open, drop) {
			t.Errorf("%s: the kernel is to drop the pages", step.name)
		}
		if drops != step.want {
			t.Errorf("%s: dropped %d times, want %d", step.name, drops, step.want)
		}
	}
}

// TestOpensWaitForDroppedPages has an open beside one that drops the pages.
func TestOpensWaitForDroppedPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pages
		p.mu.of = new(transfer.File)
		h := &handle{file: new(transfer.File), paged: true, write: true}
		done, release := 0, make(chan struct{})
		go func() {
			p.open(h, func() syscall.Errno { <-release; return 0 })
			done++
		}()
		synctest.Wait()
		go func() {
			p.open(h, func() syscall.Errno { t.Error("dropped twice"); return 0 })
			done++
		}()
		synctest.Wait()
		if done != 0 {
			t.Error("an open went on while pages were being dropped")
		}
		close(release)
		synctest.Wait()
		if done != 2 {
			t.Errorf("%d opens have returned, want 2", done)
		}
		if cleared, _ := p.clear(func() syscall.Errno { return 0 }); cleared {
			t.Error("the pages of a writer were dropped")
		}
	})
}
