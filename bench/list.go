package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"s3mount/bench/report"
	"s3mount/bench/rig"
)

const (
	listed     = 10_000
	listedDirs = 100
	headsWide  = 64 // requests at once of the raw client

	deepPrefix = "list/deep/"
	flatPrefix = "list/flat/"
)

// listStep is one command over the objects: find -ls of all folders, or ls -l
// of the one.
type listStep struct {
	metric string
	prefix string
	goal   string
	heads  bool // its limit is to list and to ask for each object, else to list
	again  bool // in the mount as the step before left it
	seen   bool // on a mount with the cache of the step before
	listed bool // with --times=listing, which only s3mount has
}

var listSteps = []listStep{
	{metric: "find -ls, never seen", goal: "≤ 1.3", prefix: deepPrefix, heads: true},
	{metric: "find -ls, seen before", goal: "≤ 1.5", prefix: deepPrefix, seen: true},
	{metric: "ls -l, never seen", prefix: flatPrefix, heads: true},
	{metric: "ls -l, seen before", goal: "≤ 1.3", prefix: flatPrefix, seen: true},
	{metric: "ls -l, once more", prefix: flatPrefix, again: true},
	{metric: "find -ls, times of the listing", goal: "≤ 1.5", prefix: deepPrefix, listed: true},
	{metric: "ls -l, times of the listing", goal: "≤ 1.3", prefix: flatPrefix, listed: true},
}

// cpuOf is the metric of what the mount's process took for each entry.
func (s listStep) cpuOf() string { return s.metric + ": CPU of the mount, µs per entry" }

// readList lists ten thousand objects.
func readList() workload {
	var ratios, times, cpus []report.Column
	for _, s := range listSteps {
		ratios = append(ratios, report.Column{Metric: s.metric, Title: s.metric + " / raw", Ratio: true, Goal: s.goal})
		times = append(times, report.Column{Metric: s.metric, Title: s.metric + ", s"})
		if s.seen || s.again {
			cpus = append(cpus, report.Column{Metric: s.cpuOf(), Title: s.cpuOf()})
		}
	}
	return workload{
		name: "list", store: (*bench).readStore, profiles: []string{"L0", "L1"},
		title: func(options) string {
			return fmt.Sprintf("%d objects: find -ls over %d folders, ls -l of one (raw: one LIST of all, page by page; of those never seen, then a HEAD of each, %d at once)",
				listed, listedDirs, headsWide)
		},
		columns: append(append(ratios, times...), cpus...),
		prepare: (*trial).makeListed,
		raw:     (*trial).listRaw,
		mount:   (*trial).listMount,
	}
}

// makeListed makes the objects, straight in the server.
func (t *trial) makeListed() error {
	deep, flat := make([]string, listed), make([]string, listed)
	for i := range listed {
		deep[i] = fmt.Sprintf("%s%03d/%05d.bin", deepPrefix, i%listedDirs, i)
		flat[i] = fmt.Sprintf("%s%05d.bin", flatPrefix, i)
	}
	if err := t.make(deepPrefix, deep, []byte("a small object")); err != nil {
		return err
	}
	return t.make(flatPrefix, flat, []byte("a small object"))
}

// make makes equal objects, straight in the server, if they are not all there.
func (t *trial) make(prefix string, keys []string, data []byte) error {
	have, _, err := t.witness.Totals(t.ctx, prefix)
	if err != nil || have == len(keys) {
		return err
	}
	return t.witness.PutAll(t.ctx, keys, data, 8)
}

// listRaw measures each limit once.
func (t *trial) listRaw() error {
	for _, prefix := range []string{deepPrefix, flatPrefix} {
		delimiter := ""
		if prefix == flatPrefix {
			delimiter = "/"
		}
		began := time.Now()
		keys, err := t.client.Keys(t.ctx, prefix, delimiter)
		if err == nil && len(keys) != listed {
			err = fmt.Errorf("listed %d objects", len(keys))
		}
		if err != nil {
			return err
		}
		list := time.Since(began)
		if err := t.client.HeadAll(t.ctx, keys, headsWide); err != nil {
			return err
		}
		all := time.Since(began)
		for _, s := range listSteps {
			switch {
			case s.prefix != prefix:
			case s.heads:
				t.set(s.metric, all.Seconds())
			default:
				t.set(s.metric, list.Seconds())
			}
		}
	}
	return nil
}

func (t *trial) listMount() error {
	flags := t.flags
	for i, s := range listSteps {
		t.flags = flags
		if s.listed && t.peer.Name != rig.Own {
			continue
		} else if s.listed {
			t.flags = slices.Concat(flags, []string{"--times=listing"})
		}
		var err error
		switch {
		case s.again || i == 0:
		case s.seen:
			err = t.remount()
		default:
			err = t.fresh()
		}
		if err == nil {
			err = t.listStep(s)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.metric, err)
		}
	}
	return nil
}

// listStep does one command, and counts what it shows.
func (t *trial) listStep(s listStep) error {
	dir := filepath.Join(t.mount.Dir, s.prefix)
	command := []string{"ls", "-l", dir}
	if s.prefix == deepPrefix {
		command = []string{"find", dir, "-ls"}
	}
	cost, err := t.take(func(time.Time) (time.Time, error) {
		out, err := t.command(command[0], command[1:]...)
		if n := strings.Count(out, ".bin\n"); err == nil && n != listed {
			err = fmt.Errorf("it shows %d of %d files", n, listed)
		}
		return t.done(err)
	})
	if err != nil {
		return err
	}
	t.set(s.metric, cost.seconds)
	t.set(s.cpuOf(), cost.usage.CPU/listed*1e6)
	t.set(s.metric+": requests", float64(cost.passed.Requests))
	return nil
}
