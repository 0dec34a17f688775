package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"s3mount/bench/raw"
	"s3mount/bench/report"
)

const copyReturns = "until cp returns, s"

// writeOne copies one large file in.
func writeOne() workload {
	return workload{
		name: "write", store: (*bench).writeStore,
		title: func(o options) string {
			return fmt.Sprintf("cp of %s && sync of it, until the object is in the bucket", size(o.size))
		},
		columns: usual(
			report.Column{Metric: speed, Title: "speed / raw", Ratio: true, Goal: "≥ 0.95, L2 ≥ 0.97"},
			report.Column{Metric: speed, Title: "MB/s"},
			report.Column{Metric: copyReturns, Title: copyReturns},
		),
		prepare: func(t *trial) error { return t.source(t.size) },
		raw:     func(t *trial) error { return t.uploads(1, t.size) },
		mount:   func(t *trial) error { return t.copies([]string{"one"}, t.size) },
	}
}

// writeFour copies four files in at once.
func writeFour() workload {
	const each = 4
	names := []string{"a", "b", "c", "d"}
	return workload{
		name: "four", store: (*bench).writeStore, profiles: []string{"L0", "L1"},
		title: func(o options) string {
			return fmt.Sprintf("4 × cp of %s at once && sync of each, until all are in the bucket", size(o.size/each))
		},
		columns: usual(
			report.Column{Metric: speed, Title: "speed / raw", Ratio: true, Goal: "≥ 0.93"},
			report.Column{Metric: speed, Title: "MB/s"},
			report.Column{Metric: copyReturns, Title: "until the last cp returns, s"},
		),
		prepare: func(t *trial) error { return t.source(t.size / each) },
		raw:     func(t *trial) error { return t.uploads(len(names), t.size/each) },
		mount:   func(t *trial) error { return t.copies(names, t.size/each) },
	}
}

// writeMemory copies four large files in at once with little memory.
func writeMemory() workload {
	return workload{
		name: "memory", store: (*bench).writeStore, profiles: []string{"L1"}, flags: []string{"--memory", "256MiB"},
		onlyOwn: "they have no such limit",
		title: func(o options) string {
			return fmt.Sprintf("4 × cp of %s at once with --memory 256MiB", size(o.size))
		},
		columns: usual(
			report.Column{Metric: speed, Title: "MB/s"},
			report.Column{Metric: rss, Title: "peak RSS, MiB", Goal: "≤ 400"},
		),
		prepare: func(t *trial) error { return t.source(t.size) },
		mount:   func(t *trial) error { return t.copies([]string{"a", "b", "c", "d"}, t.size) },
	}
}

func (t *trial) source(size int64) error {
	_, _, err := t.sources.large(size)
	return err
}

// uploads is the limit: objects from memory, in parallel parts.
func (t *trial) uploads(count int, size int64) error {
	data := make([]byte, min(size, raw.PartSize))
	noise(data, 1)
	return t.measured(size*int64(count), func(time.Time) (time.Time, error) {
		group, ctx := errgroup.WithContext(t.ctx)
		for i := range count {
			group.Go(func() error {
				return t.client.Upload(ctx, fmt.Sprintf("%s/%d", t.name, i), size, data, raw.Parallel/count)
			})
		}
		return t.done(group.Wait())
	})
}

// done is now, or the error.
func (t *trial) done(err error) (time.Time, error) { return time.Now(), err }

// copies copies a file in, under several names at once, and asks for each with
// sync. It is done when the last object is there.
func (t *trial) copies(names []string, size int64) error {
	source, sum, err := t.sources.large(size)
	if err != nil {
		return err
	}
	dir := filepath.Join(t.mount.Dir, t.name)
	if _, err := t.command("mkdir", dir); err != nil {
		return err
	}
	seen, copied := make([]time.Time, len(names)), make([]time.Time, len(names))
	err = t.measured(size*int64(len(names)), func(began time.Time) (time.Time, error) {
		group, ctx := errgroup.WithContext(t.ctx)
		for i, name := range names {
			group.Go(func() (err error) {
				seen[i], err = t.visible(ctx, t.name+"/"+name, size)
				return err
			})
			group.Go(func() error {
				path := filepath.Join(dir, name)
				if _, err := t.command("cp", source, path); err != nil {
					return err
				}
				copied[i] = time.Now()
				_, err := t.command("sync", path)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return time.Time{}, err
		}
		t.set(copyReturns, latest(copied).Sub(began).Seconds())
		return latest(seen), nil
	})
	for _, name := range names {
		if err == nil {
			err = t.same(t.name+"/"+name, sum)
		}
	}
	return err
}

// same compares an object with what was written.
func (t *trial) same(key string, want [32]byte) error {
	got, err := t.witness.Sum(t.ctx, key)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("WRONG BYTES in %s", key)
	}
	return nil
}

func latest(times []time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// size shows a number of bytes.
func size(n int64) string { return strings.Replace(humanize.IBytes(uint64(n)), ".0 ", " ", 1) }
