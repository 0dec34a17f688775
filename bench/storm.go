package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/bench/raw"
	"s3mount/bench/report"
)

const (
	stormFiles  = 1000 // in each phase
	stormWide   = 8    // programs that call stat(2) at the same time
	stormLeast  = 100  // calls that a percentile is taken of
	stormBegins = 32 << 20

	stormPrefix = "storm/"
)

// stormPhases are what the link carries meanwhile.
var stormPhases = []string{"idle", "copy in", "copy out"}

func stormMedian(phase string) string { return phase + ": median of stat, round trips" }
func stormP95(phase string) string    { return phase + ": p95 of stat, round trips" }

// statStorm looks at files that nobody has seen, each in a folder of its own,
// while a bulk copy fills the link.
func statStorm() workload {
	columns := []report.Column{}
	for i, phase := range stormPhases {
		goal := ""
		if i > 0 {
			goal = "≤ 4"
		}
		columns = append(columns, report.Column{Metric: stormP95(phase), Title: stormP95(phase), Goal: goal},
			report.Column{Metric: stormMedian(phase), Title: stormMedian(phase)})
	}
	return workload{
		name: "storm", store: (*bench).writeStore, profiles: []string{"L1", "L2"},
		title: func(o options) string {
			return fmt.Sprintf("stat of files never seen, each in a folder of its own, %d at once, while %s are copied (raw: HEAD of the file beside LIST of the folder)", stormWide, size(o.size))
		},
		columns: columns,
		prepare: func(t *trial) error {
			for i := range stormPhases {
				if err := t.make(fmt.Sprintf("%s%d/", stormPrefix, i), stormKeys(i), []byte("a small object")); err != nil {
					return err
				}
			}
			return t.solid(solidKey(t.size), t.size)
		},
		raw:   (*trial).stormRaw,
		mount: (*trial).stormMount,
	}
}

func stormKeys(phase int) []string {
	keys := make([]string, stormFiles)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%d/%04d/clip.bin", stormPrefix, phase, i*389%stormFiles) // no order to be guessed
	}
	return keys
}

func (t *trial) stormRaw() error {
	data := make([]byte, min(t.size, raw.PartSize))
	noise(data, 1)
	return t.storms(
		func(ctx context.Context) error {
			return t.client.Upload(ctx, t.name+"/bulk", t.size, data, raw.Parallel)
		},
		func(ctx context.Context) error { return t.client.Download(ctx, solidKey(t.size), t.size, raw.Parallel) },
		func(key string) error {
			var group errgroup.Group
			group.Go(func() error {
				_, err := t.client.Size(t.ctx, key)
				return err
			})
			group.Go(func() error {
				_, err := t.client.Keys(t.ctx, path.Dir(key)+"/", "/")
				return err
			})
			return group.Wait()
		})
}

func (t *trial) stormMount() error {
	source, _, err := t.sources.large(t.size)
	if err != nil {
		return err
	}
	if _, err := t.command("mkdir", filepath.Join(t.mount.Dir, t.name)); err != nil {
		return err
	}
	return t.storms(
		func(ctx context.Context) error {
			if _, err := t.command("cp", source, filepath.Join(t.mount.Dir, t.name, "bulk")); err != nil {
				return err
			}
			_, err := t.visible(ctx, t.name+"/bulk", t.size)
			return err
		},
		func(context.Context) error { return t.readWhole(solidKey(t.size), t.size) },
		func(key string) error {
			_, err := os.Stat(filepath.Join(t.mount.Dir, key))
			return err
		})
}

// storms looks at files in each phase: with an idle link, and while a bulk
// copy in or out goes on.
func (t *trial) storms(in, out func(context.Context) error, stat func(key string) error) error {
	idle := func(context.Context) error { return nil }
	for i, bulk := range []func(context.Context) error{idle, in, out} {
		if err := t.storm(i, bulk, stat); err != nil {
			return fmt.Errorf("%s: %w", stormPhases[i], err)
		}
	}
	return nil
}

// storm begins when the bulk copy fills the link, and ends with it; without
// one when there are no more files.
func (t *trial) storm(phase int, bulk func(context.Context) error, stat func(key string) error) error {
	before, err := t.link.Counts()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(t.ctx)
	copied, end := context.WithCancel(ctx)
	defer end()
	var took []float64
	group.Go(func() error {
		if phase > 0 {
			defer end()
		}
		return bulk(ctx)
	})
	group.Go(func() error {
		if phase > 0 {
			if _, err := poll(ctx, 10*time.Millisecond, func(context.Context) (bool, error) {
				now, err := t.link.Counts()
				passed := now.Sub(before)
				return passed.Up+passed.Down > stormBegins, err
			}); err != nil {
				return err
			}
		}
		var err error
		took, err = t.looks(copied, stormKeys(phase), stat)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if len(took) < stormLeast {
		return fmt.Errorf("only %d calls were made meanwhile", len(took))
	}
	slices.Sort(took)
	t.set(stormP95(stormPhases[phase]), report.Quantile(took, 0.95))
	t.set(stormMedian(stormPhases[phase]), report.Quantile(took, 0.5))
	return nil
}

// looks calls stat for one file after the other, from several goroutines, and
// returns how many round trips each call took. It ends with the files or the
// context.
func (t *trial) looks(ctx context.Context, keys []string, stat func(key string) error) ([]float64, error) {
	var (
		group errgroup.Group
		next  atomic.Int64
		mu    sync.Mutex
		took  []float64
	)
	for range stormWide {
		group.Go(func() error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(keys) {
					return nil
				}
				began := time.Now()
				if err := stat(keys[i]); err != nil {
					return err
				}
				trips := float64(time.Since(began)) / float64(t.profile.RTT)
				mu.Lock()
				took = append(took, trips)
				mu.Unlock()
			}
			return nil
		})
	}
	err := group.Wait()
	return took, err
}
