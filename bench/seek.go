package main

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/bench/load"
	"s3mount/bench/raw"
	"s3mount/bench/report"
)

const (
	median    = "median, ms"
	slowest   = "p95, ms"
	readsDone = "reads"
	seekOf    = "jump until the first MiB, median, ms"
	lateOf    = "late reads, %"
	stallOf   = "picture stood still, %"
	shareOf   = "speed / one stream"
	oneSpeed  = "one stream, MB/s"
)

// readRandom reads blocks at random places of a huge object.
func readRandom(name string, length, count int, columns ...report.Column) workload {
	read := func(t *trial, f io.ReaderAt) error {
		warm := make([]byte, 4<<10)
		if _, err := f.ReadAt(warm, 0); err != nil {
			return err
		}
		var took []time.Duration
		cost, err := t.take(func(time.Time) (done time.Time, err error) {
			took, err = load.Random(t.bounded(f), hugeSize, length, count, t.limit/2, uint64(t.Run))
			return t.done(err)
		})
		if err != nil {
			return err
		}
		t.keep(int64(length*len(took)), cost)
		t.set(readsDone, float64(len(took)))
		t.latencies(took)
		return nil
	}
	return workload{
		name: name, store: (*bench).readStore, profiles: []string{"L0", "L1"},
		title: func(options) string {
			return fmt.Sprintf("%d reads of %s at random places of an object of %s", count, size(int64(length)), size(hugeSize))
		},
		columns: append(columns,
			report.Column{Metric: requests, Title: "requests"},
			report.Column{Metric: readsDone, Title: "reads in half the time limit"}),
		prepare: (*trial).huge,
		raw:     func(t *trial) error { return read(t, t.client.Object(t.ctx, hugeKey)) },
		mount: func(t *trial) error {
			f, err := t.open(hugeKey)
			if err != nil {
				return err
			}
			defer f.Close()
			return read(t, f)
		},
	}
}

func readRandomLarge() workload {
	return readRandom("random", load.Block, 100,
		report.Column{Metric: median, Title: "median / raw", Ratio: true, Goal: "≤ 1.12"},
		report.Column{Metric: slowest, Title: "p95 / raw", Ratio: true, Goal: "≤ 1.25"},
		report.Column{Metric: median, Title: median},
		report.Column{Metric: slowest, Title: slowest},
		report.Column{Metric: down, Title: "bytes down / asked", Goal: "≤ 1.3"})
}

func readRandomSmall() workload {
	return readRandom("random4k", 4<<10, 100,
		report.Column{Metric: median, Title: median, Goal: "≤ 38"},
		report.Column{Metric: median, Title: "median / raw", Ratio: true},
		report.Column{Metric: slowest, Title: slowest},
		report.Column{Metric: down, Title: "bytes down / asked", Goal: "≤ 64"})
}

// latencies keeps the middle and the tail of sorted times.
func (t *trial) latencies(sorted []time.Duration) {
	values := milliseconds(sorted)
	t.set(median, report.Quantile(values, 0.5))
	t.set(slowest, report.Quantile(values, 0.95))
}

func milliseconds(times []time.Duration) []float64 {
	out := make([]float64, len(times))
	for i, d := range times {
		out[i] = d.Seconds() * 1000
	}
	return out
}

const angles = 4

// readScrub plays several cameras at once with jumps.
func readScrub() workload {
	return workload{
		name: "scrub", store: (*bench).readStore, profiles: []string{"L0", "L1"},
		title: func(options) string {
			return fmt.Sprintf("%d cameras of 25 MB/s, each jumps every 2 s, for 16 s (raw: jumps only, one GET each)", angles)
		},
		columns: []report.Column{
			{Metric: lateOf, Title: lateOf, Goal: "0"},
			{Metric: stallOf, Title: stallOf},
			{Metric: seekOf, Title: "jump until the first MiB / raw", Ratio: true, Goal: "≤ 1.3"},
			{Metric: seekOf, Title: seekOf},
			{Metric: down, Title: "bytes down / shown", Goal: "≤ 1.5"},
			{Metric: cpu, Title: "CPU s/GiB"},
			{Metric: rss, Title: "peak RSS, MiB", Goal: "≤ 400"},
		},
		prepare: func(t *trial) error { return t.cameras(angles) },
		raw:     (*trial).scrubRaw,
		mount:   (*trial).scrubMount,
	}
}

// scrubRaw jumps with one request of a block each, on warm connections.
func (t *trial) scrubRaw() error {
	seeks := make([][]time.Duration, angles)
	var group errgroup.Group
	for i := range angles {
		group.Go(func() (err error) {
			seeks[i], err = load.Random(t.client.Object(t.ctx, camera(i)), camSize, load.Block, 20, t.limit, uint64(i))
			return err
		})
	}
	err := group.Wait()
	var all []float64
	for _, s := range seeks {
		all = append(all, milliseconds(s)...)
	}
	t.set(seekOf, report.Summarize(all).Median)
	return err
}

func (t *trial) scrubMount() error {
	player := load.Player{Rate: 25 * megabyte, Play: 2 * time.Second, Preroll: 250 * time.Millisecond, Ahead: 8, Total: 16 * time.Second}
	files := make([]io.ReaderAt, angles)
	for i := range files {
		f, err := t.open(camera(i))
		if err != nil {
			return err
		}
		defer f.Close()
		files[i] = t.bounded(f)
	}
	var saw load.Scrubbed
	cost, err := t.take(func(time.Time) (done time.Time, err error) {
		saw, err = player.Scrub(files, camSize, uint64(t.Run))
		return t.done(err)
	})
	if err != nil {
		return err
	}
	t.keep(int64(saw.Reads)*load.Block, cost)
	t.set(lateOf, 100*float64(saw.Late)/float64(saw.Reads))
	t.set(stallOf, 100*saw.Stall.Seconds()/cost.seconds/angles)
	t.set(seekOf, report.Quantile(milliseconds(saw.Seeks), 0.5))
	return nil
}

// readInterleaved reads several places of one descriptor in turns.
func readInterleaved() workload {
	const tracks = 8
	return workload{
		name: "interleaved", store: (*bench).readStore, profiles: []string{"L0", "L1"},
		title: func(o options) string {
			return fmt.Sprintf("%d streams on one descriptor in turns, %s in all, after one stream of as much", tracks, size(o.size/2))
		},
		columns: usual(
			report.Column{Metric: shareOf, Title: shareOf, Goal: "≥ 0.9"},
			report.Column{Metric: speed, Title: "speed / raw", Ratio: true},
			report.Column{Metric: oneSpeed, Title: oneSpeed},
		),
		prepare: (*trial).huge,
		raw: func(t *trial) error {
			return t.measured(t.size/2, func(time.Time) (time.Time, error) {
				return t.done(t.client.Download(t.ctx, hugeKey, t.size/2, raw.Parallel))
			})
		},
		mount: func(t *trial) error { return t.interleave(tracks) },
	}
}

func (t *trial) interleave(tracks int64) error {
	f, err := t.open(hugeKey)
	if err != nil {
		return err
	}
	defer f.Close()
	total := t.size / 2
	began := time.Now()
	if err := load.Sequential(t.bounded(f), 0, total); err != nil {
		return err
	}
	one := float64(total) / time.Since(began).Seconds() / megabyte
	t.set(oneSpeed, one)
	starts := make([]int64, tracks)
	for i := range starts {
		starts[i] = hugeSize/2 + int64(i)*(hugeSize/2/tracks)
	}
	cost, err := t.take(func(time.Time) (time.Time, error) {
		return t.done(load.Interleaved(t.bounded(f), starts, total/tracks))
	})
	if err != nil {
		return err
	}
	t.keep(total, cost)
	t.set(shareOf, float64(total)/cost.seconds/megabyte/one)
	return nil
}
