package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"s3mount/bench/report"
	"s3mount/bench/rig"
)

const (
	upMiB   = "MiB up"
	downMiB = "MiB down"

	wholeMove = "it would download and upload the whole object"
)

func editColumns() []report.Column {
	return []report.Column{
		{Metric: seconds, Title: "until in the bucket, s"},
		{Metric: upMiB, Title: upMiB, Goal: "≤ 16"},
		{Metric: downMiB, Title: downMiB, Goal: "≤ 16"},
		{Metric: requests, Title: requests, Goal: "≤ 12"},
		{Metric: rss, Title: "peak RSS, MiB"},
	}
}

// editMiddle changes a byte in the middle of a huge object.
func editMiddle() workload {
	return workload{
		name: "edit", store: (*bench).diskStore, profiles: []string{"L1"}, onlyOwn: wholeMove, slow: true,
		flags: []string{"--fsync-timeout", "15m"},

		title: func(o options) string {
			return fmt.Sprintf("one byte in the middle of an object of %s, sync, until published (most of the time is the server's own copying)", size(o.editSize))
		},
		columns: editColumns(),
		mount: func(t *trial) error {
			return t.edit([]byte{'x'}, t.editSize/2)
		},
	}
}

// editAppend makes a huge object longer.
func editAppend() workload {
	return workload{
		name: "append", store: (*bench).diskStore, profiles: []string{"L1"}, onlyOwn: wholeMove, slow: true,
		flags: []string{"--fsync-timeout", "15m"},

		title: func(o options) string {
			return fmt.Sprintf("1 MiB appended to an object of %s, sync, until published", size(o.editSize))
		},
		columns: editColumns(),
		mount: func(t *trial) error {
			more := make([]byte, 1<<20)
			noise(more, 1)
			return t.edit(more, t.editSize)
		},
	}
}

// edit opens the object, writes there, and waits until it is published.
func (t *trial) edit(p []byte, off int64) error {
	// The server keeps the old object, the copied parts and the new object.
	if free, err := rig.Free(t.disk); err != nil || free < 2*t.editSize+2*gibibyte {
		return fmt.Errorf("needs %s on the disk (set EDIT_SIZE or DISK_DIR); free: %s, %w", size(2*t.editSize+2*gibibyte), size(free), err)
	}
	key := t.name + "/huge.bin"
	if err := t.sparse(key, t.editSize); err != nil {
		return err
	}
	if err := t.publishOne(); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(t.mount.Dir, key), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	cost, err := t.take(func(time.Time) (time.Time, error) {
		if _, err := f.WriteAt(p, off); err != nil {
			return time.Time{}, err
		}
		if err := f.Sync(); err != nil {
			return time.Time{}, err
		}
		return t.visible(t.ctx, key, max(t.editSize, off+int64(len(p))))
	})
	if err != nil {
		return err
	}
	t.keep(0, cost)
	t.set(upMiB, float64(cost.passed.Up)/mebibyte)
	t.set(downMiB, float64(cost.passed.Down)/mebibyte)
	got := make([]byte, len(p))
	if _, err := t.witness.Object(t.ctx, key).ReadAt(got, off); err != nil {
		return err
	}
	if !bytes.Equal(got, p) {
		return fmt.Errorf("WRONG BYTES in %s at %d", key, off)
	}
	return nil
}

// publishOne publishes a small file: with the first one a mount asks, in a few requests that
// no other one needs, what the store holds of preconditions.
func (t *trial) publishOne() error {
	f, err := os.Create(filepath.Join(t.mount.Dir, t.name, "first"))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
