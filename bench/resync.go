package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"s3mount/bench/report"
)

const (
	syncedDirs = 100
	syncedEach = 100
	syncedSize = 1 << 10

	againHeads = "again: HEADs"
	againCPU   = "again: CPU of the mount, µs per file"
)

// writeResync copies many small files with rsync, and again on a mount that
// finds the cache of the first one.
func writeResync() workload {
	return workload{
		name: "resync", store: (*bench).writeStore, profiles: []string{"L0", "L1"}, slow: true,
		onlyOwn: "they remember no times over a restart",
		title: func(options) string {
			return fmt.Sprintf("rsync -a of %d files of %s in %d folders; again after a remount with the same cache directory",
				syncedDirs*syncedEach, size(syncedSize), syncedDirs)
		},
		columns: []report.Column{
			{Metric: againHeads, Title: againHeads, Goal: "0"},
			{Metric: againSent, Title: "again: payload sent, bytes", Goal: "0"},
			{Metric: againTakes, Title: againTakes},
			{Metric: againAsked, Title: againAsked},
			{Metric: againCPU, Title: againCPU},
			{Metric: rsyncReturns, Title: rsyncReturns},
			{Metric: seconds, Title: "all in the bucket, s"},
		},
		prepare: func(t *trial) error {
			_, err := t.syncedTree()
			return err
		},
		mount: (*trial).resync,
	}
}

func (t *trial) syncedTree() (tree string, err error) {
	for i := range syncedDirs {
		if tree, err = t.sources.files(fmt.Sprintf("synced/%03d", i), syncedEach, syncedSize); err != nil {
			return "", err
		}
	}
	return filepath.Dir(tree), nil
}

func (t *trial) resync() error {
	source, err := t.syncedTree()
	if err != nil {
		return err
	}
	const files, total = syncedDirs * syncedEach, syncedDirs * syncedEach * syncedSize
	err = t.measured(total, func(began time.Time) (time.Time, error) {
		if _, err := t.command("rsync", "-a", source+"/", filepath.Join(t.mount.Dir, t.name)); err != nil {
			return time.Time{}, err
		}
		t.set(rsyncReturns, time.Since(began).Seconds())
		return t.complete(t.name+"/", files, total)
	})
	if err != nil {
		return err
	}
	if err := t.remount(); err != nil {
		return err
	}
	cost, err := t.rsyncOver(source)
	t.set(againHeads, float64(cost.passed.Heads))
	t.set(againCPU, cost.usage.CPU/files*1e6)
	return err
}

// rsyncOver copies a tree over the one that is there, and keeps what it took.
func (t *trial) rsyncOver(source string) (spent, error) {
	var said string
	cost, err := t.take(func(time.Time) (done time.Time, err error) {
		said, err = t.command("rsync", "-a", "--stats", "--no-human-readable", source+"/", filepath.Join(t.mount.Dir, t.name))
		return t.done(err)
	})
	if err != nil {
		return cost, err
	}
	t.set(againTakes, cost.seconds)
	t.set(againAsked, float64(cost.passed.Requests))
	found := transferred.FindStringSubmatch(said)
	if found == nil {
		return cost, fmt.Errorf("rsync does not say what it sent: %s", said)
	}
	sent, err := strconv.ParseFloat(digits.ReplaceAllString(found[1], ""), 64)
	t.set(againSent, sent)
	return cost, err
}
