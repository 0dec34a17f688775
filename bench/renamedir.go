package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"s3mount/bench/report"
)

const (
	renamedFiles = 1000
	renameTakes  = "until mv returns, s"
)

// renameDir renames a directory of small objects.
func renameDir() workload {
	return workload{
		name: "rename", store: (*bench).writeStore, profiles: []string{"L0", "L1"},
		title: func(options) string {
			return fmt.Sprintf("mv of a folder of %d objects of %s (raw: LIST, %d copies at once, deletion of all with one request)",
				renamedFiles, size(smallSize), headsWide)
		},
		columns: []report.Column{
			{Metric: renameTakes, Title: renameTakes, Goal: "≤ 3"},
			{Metric: renameTakes, Title: "until mv returns / raw", Ratio: true},
			{Metric: seconds, Title: "all moved, s"},
			{Metric: requests, Title: "requests"},
		},
		raw: func(t *trial) error {
			return t.renames(func(from, to string) error { return t.client.MoveAll(t.ctx, from+"/", to+"/", headsWide) })
		},
		mount: func(t *trial) error {
			return t.renames(func(from, to string) error {
				_, err := t.command("mv", "-T", filepath.Join(t.mount.Dir, from), filepath.Join(t.mount.Dir, to))
				return err
			})
		},
	}
}

// renames makes the objects past the link, and measures how they are moved.
func (t *trial) renames(move func(from, to string) error) error {
	from, to := t.name+"/from", t.name+"/to"
	keys := make([]string, renamedFiles)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s/%04d.bin", from, i)
	}
	data := make([]byte, smallSize)
	noise(data, 1)
	if err := t.witness.PutAll(t.ctx, keys, data, 8); err != nil {
		return err
	}
	return t.measured(0, func(began time.Time) (time.Time, error) {
		if err := move(from, to); err != nil {
			return time.Time{}, err
		}
		t.set(renameTakes, time.Since(began).Seconds())
		if _, err := t.complete(to+"/", renamedFiles, renamedFiles*smallSize); err != nil {
			return time.Time{}, err
		}
		return t.gone(from + "/")
	})
}

// gone waits until a prefix holds no file.
func (t *trial) gone(prefix string) (time.Time, error) {
	return poll(t.ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		n, _, err := t.witness.Totals(ctx, prefix)
		return n == 0, err
	})
}
