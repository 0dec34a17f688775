package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/bench/raw"
	"s3mount/bench/report"
)

const (
	treeFiles = 20

	rsyncReturns = "until rsync returns, s"
	perFile      = "requests per file"
	againSent    = "again: bytes up"
	againTakes   = "again, s"
	againAsked   = "again: requests"
)

// writeTree copies a tree with rsync, and copies it again.
func writeTree() workload {
	return workload{
		name: "rsync", store: (*bench).writeStore, profiles: []string{"L0", "L1"},
		title: func(o options) string {
			return fmt.Sprintf("rsync -a of %d files of %s, until all are in the bucket; then again on a fresh mount without its cache", treeFiles, size(o.treeSize()))
		},
		columns: []report.Column{
			{Metric: speed, Title: "speed / raw", Ratio: true},
			{Metric: rsyncReturns, Title: rsyncReturns},
			{Metric: up, Title: "bytes up / payload", Goal: "≤ 1.02"},
			{Metric: down, Title: "bytes down / payload"},
			{Metric: perFile, Title: perFile, Goal: "≤ 5 + parts"},
			{Metric: againTakes, Title: againTakes},
			{Metric: againSent, Title: "again: payload sent, bytes", Goal: "0"},
			{Metric: againAsked, Title: againAsked},
			{Metric: cpu, Title: "CPU s/GiB"},
		},
		prepare: func(t *trial) error {
			_, err := t.tree()
			return err
		},
		raw: func(t *trial) error {
			data := make([]byte, raw.PartSize)
			noise(data, 1)
			return t.measured(treeFiles*t.treeSize(), func(time.Time) (time.Time, error) {
				group, ctx := errgroup.WithContext(t.ctx)
				group.SetLimit(4)
				for i := range treeFiles {
					group.Go(func() error {
						return t.client.Upload(ctx, fmt.Sprintf("%s/%d", t.name, i), t.treeSize(), data, raw.Parallel/4)
					})
				}
				return t.done(group.Wait())
			})
		},
		mount: (*trial).rsync,
	}
}

// treeSize is that of each file: 50 MiB when SIZE is 1 GiB.
func (o options) treeSize() int64 { return o.size / 1024 * 50 }

func (t *trial) tree() (string, error) {
	return t.sources.files(fmt.Sprintf("tree-%d", t.treeSize()), treeFiles, t.treeSize())
}

var transferred = regexp.MustCompile(`Total transferred file size: ([0-9,.]+)`)

func (t *trial) rsync() error {
	each := t.treeSize()
	source, err := t.tree()
	if err != nil {
		return err
	}
	total := treeFiles * each
	cost, err := t.take(func(began time.Time) (time.Time, error) {
		if _, err := t.command("rsync", "-a", source+"/", filepath.Join(t.mount.Dir, t.name)); err != nil {
			return time.Time{}, err
		}
		t.set(rsyncReturns, time.Since(began).Seconds())
		return t.complete(t.name+"/", treeFiles, total)
	})
	if err != nil {
		return err
	}
	t.keep(total, cost)
	t.set(perFile, float64(cost.passed.Requests)/treeFiles)
	return t.rsyncAgain(source)
}

// rsyncAgain copies the same tree over what is there, of which the mount knows
// nothing yet.
func (t *trial) rsyncAgain(source string) error {
	if err := t.fresh(); err != nil {
		return err
	}
	_, err := t.rsyncOver(source)
	return err
}

var digits = regexp.MustCompile(`[,.]`)

// fresh mounts again with an empty cache, once all was uploaded.
func (t *trial) fresh() error {
	if err := t.unmount(); err != nil {
		return err
	}
	if err := os.RemoveAll(t.cache); err != nil {
		return err
	}
	return t.remount()
}
