package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/bench/load"
	"s3mount/bench/raw"
	"s3mount/bench/report"
	"s3mount/bench/rig"
)

// readOne reads a large file from its begin to its end, cold.
func readOne() workload {
	return workload{
		name: "read", store: (*bench).readStore,
		title: func(o options) string { return fmt.Sprintf("sequential read of a cold object of %s", size(o.size)) },
		columns: usual(
			report.Column{Metric: speed, Title: "speed / raw", Ratio: true, Goal: "≥ 0.95, L2 ≥ 0.97"},
			report.Column{Metric: speed, Title: "MB/s"},
		),
		prepare: func(t *trial) error { return t.solid(solidKey(t.size), t.size) },
		raw: func(t *trial) error {
			return t.reads(t.size, func(key string) error { return t.client.Download(t.ctx, key, t.size, raw.Parallel) })
		},
		mount: func(t *trial) error {
			return t.reads(t.size, func(key string) error { return t.readWhole(key, t.size) })
		},
	}
}

func solidKey(n int64) string { return fmt.Sprintf("read/file-%d.bin", n) }

// reads measures how the object is read.
func (t *trial) reads(n int64, read func(key string) error) error {
	key := solidKey(n)
	if t.mount != nil {
		if _, err := os.Stat(filepath.Join(t.mount.Dir, key)); err != nil {
			return err
		}
	}
	if err := t.measured(n, func(time.Time) (time.Time, error) { return t.done(read(key)) }); err != nil || t.mount == nil {
		return err
	}
	f, err := t.open(key)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.spotCheck(f, n)
}

func (t *trial) readWhole(key string, n int64) error {
	f, err := t.open(key)
	if err != nil {
		return err
	}
	defer f.Close()
	return load.Sequential(t.bounded(f), 0, n)
}

// bounded ends a load at the time limit. A read that hangs in the kernel ends
// when the trial aborts the mount.
func (t *trial) bounded(r io.ReaderAt) io.ReaderAt { return bounded{t, r} }

type bounded struct {
	t *trial
	r io.ReaderAt
}

func (b bounded) ReadAt(p []byte, off int64) (int, error) {
	if err := b.t.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.ReadAt(p, off)
}

const (
	secondTime = "second read, MB/s"
	dropped    = "kernel cache dropped, MB/s"
	remounted  = "after a restart, MB/s"
	againDown  = "bytes down of both / payload"
)

// readAgain reads a file that was read before. Its limit is the disk that the
// caches are on.
func readAgain() workload {
	return workload{
		name: "again", store: (*bench).readStore, profiles: []string{"L0", "L1"},
		title: func(o options) string {
			return fmt.Sprintf("re-read of %s that were read before (raw: a file of the local disk)", size(o.size))
		},
		columns: []report.Column{
			{Metric: secondTime, Title: "at once / disk", Ratio: true},
			{Metric: dropped, Title: "kernel cache dropped / disk", Ratio: true, Goal: "≥ 0.8"},
			{Metric: dropped, Title: dropped},
			{Metric: remounted, Title: "after a restart / disk", Ratio: true},
			{Metric: againDown, Title: "bytes down of the last two / payload", Goal: "0"},
		},
		prepare: func(t *trial) error { return t.solid(solidKey(t.size), t.size) },
		raw:     (*trial).againOnDisk,
		mount:   (*trial).againInMount,
	}
}

func (t *trial) againOnDisk() error {
	source, _, err := t.sources.large(t.size)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.cache, 0o700); err != nil {
		return err
	}
	local := filepath.Join(t.cache, "local.bin")
	if _, err := t.command("cp", source, local); err != nil {
		return err
	}
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	defer f.Close()
	read := func() error { return load.Sequential(t.bounded(f), 0, t.size) }
	if err := t.timed(secondTime, read); err != nil {
		return err
	}
	for _, metric := range []string{dropped, remounted} {
		if err := rig.DropCaches(); err != nil {
			return err
		}
		if err := t.timed(metric, read); err != nil {
			return err
		}
	}
	return nil
}

// timed keeps the speed of reading the large file.
func (t *trial) timed(metric string, read func() error) error {
	began := time.Now()
	err := read()
	t.set(metric, float64(t.size)/time.Since(began).Seconds()/megabyte)
	return err
}

func (t *trial) againInMount() error {
	read := func() error { return t.readWhole(solidKey(t.size), t.size) }
	if err := read(); err != nil {
		return err
	}
	if err := t.timed(secondTime, read); err != nil {
		return err
	}
	before, err := t.link.Counts()
	if err != nil {
		return err
	}
	if err := rig.DropCaches(); err != nil {
		return err
	}
	if err := t.timed(dropped, read); err != nil {
		return err
	}
	if err := t.remount(); err != nil {
		return err
	}
	if err := rig.DropCaches(); err != nil {
		return err
	}
	if err := t.timed(remounted, read); err != nil {
		return err
	}
	after, err := t.link.Counts()
	t.set(againDown, float64(after.Sub(before).Down)/float64(t.size))
	return err
}

// readMany reads several files at once.
func readMany() workload {
	return workload{
		name: "streams", store: (*bench).readStore, profiles: []string{"L0", "L1"}, flags: []string{"--memory", "256MiB"},
		title: func(o options) string {
			return fmt.Sprintf("%d files read at once, %s of each (s3mount with --memory 256MiB)", cameras, size(o.size/cameras))
		},
		columns: usual(
			report.Column{Metric: speed, Title: "speed / raw", Ratio: true},
			report.Column{Metric: rss, Title: "peak RSS, MiB", Goal: "≤ 400"},
		),
		prepare: func(t *trial) error { return t.cameras(cameras) },
		raw:     func(t *trial) error { return t.readCameras(t.rawObject) },
		mount:   func(t *trial) error { return t.readCameras(t.openFile) },
	}
}

func (t *trial) rawObject(key string) (io.ReaderAt, io.Closer, error) {
	return t.client.Object(t.ctx, key), io.NopCloser(nil), nil
}

func (t *trial) openFile(key string) (io.ReaderAt, io.Closer, error) {
	f, err := t.open(key)
	return f, f, err
}

func (t *trial) readCameras(open func(string) (io.ReaderAt, io.Closer, error)) error {
	each := t.size / cameras
	return t.measured(each*cameras, func(time.Time) (time.Time, error) {
		var group errgroup.Group
		for i := range cameras {
			group.Go(func() error {
				f, closer, err := open(camera(i))
				if err != nil {
					return err
				}
				defer closer.Close()
				return load.Sequential(t.bounded(f), 0, each)
			})
		}
		return t.done(group.Wait())
	})
}
