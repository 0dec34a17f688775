package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"s3mount/bench/report"
)

const (
	listed     = 10_000
	listedDirs = 100

	findTime  = "find, s"
	againTime = "ls -lR after it, s"
	longTime  = "ls -lR cold, s"
	oneDir    = "ls -l of one folder of 10,000, cold, s"
)

// readList lists ten thousand objects.
func readList() workload {
	return workload{
		name: "list", store: (*bench).readStore, profiles: []string{"L0", "L1"},
		title: func(options) string {
			return fmt.Sprintf("%d objects in %d folders, each command on a fresh mount (raw: one LIST of all, page by page)", listed, listedDirs)
		},
		columns: []report.Column{
			{Metric: findTime, Title: "find / raw", Ratio: true},
			{Metric: findTime, Title: findTime},
			{Metric: longTime, Title: longTime},
			{Metric: againTime, Title: againTime},
			{Metric: oneDir, Title: oneDir},
			{Metric: requests, Title: "requests of all"},
		},
		prepare: (*trial).makeListed,
		raw:     (*trial).listRaw,
		mount:   (*trial).listMount,
	}
}

const (
	deepPrefix = "list/deep/"
	flatPrefix = "list/flat/"
)

// makeListed makes the objects, straight in the server.
func (t *trial) makeListed() error {
	for _, prefix := range []string{deepPrefix, flatPrefix} {
		have, _, err := t.witness.Totals(t.ctx, prefix)
		if err != nil {
			return err
		}
		if have == listed {
			continue
		}
		keys := make([]string, listed)
		for i := range keys {
			keys[i] = fmt.Sprintf("%s%05d.bin", prefix, i)
			if prefix == deepPrefix {
				keys[i] = fmt.Sprintf("%s%03d/%05d.bin", prefix, i%listedDirs, i)
			}
		}
		if err := t.witness.PutAll(t.ctx, keys, []byte("a small object"), 8); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) listRaw() error {
	return t.measured(0, func(began time.Time) (time.Time, error) {
		n, _, err := t.client.Totals(t.ctx, deepPrefix)
		t.set(findTime, time.Since(began).Seconds())
		if err == nil && n != listed {
			err = fmt.Errorf("listed %d objects", n)
		}
		return t.done(err)
	})
}

func (t *trial) listMount() error {
	deep, flat := filepath.Join(t.mount.Dir, deepPrefix), filepath.Join(t.mount.Dir, flatPrefix)
	return t.measured(0, func(time.Time) (time.Time, error) {
		steps := []struct {
			metric  string
			fresh   bool
			command []string
		}{
			{findTime, false, []string{"find", deep, "-type", "f"}},
			{againTime, false, []string{"ls", "-lR", deep}},
			{longTime, true, []string{"ls", "-lR", deep}},
			{oneDir, true, []string{"ls", "-l", flat}},
		}
		for _, s := range steps {
			if s.fresh {
				if err := t.fresh(); err != nil {
					return time.Time{}, err
				}
			}
			began := time.Now()
			out, err := t.command(s.command[0], s.command[1:]...)
			t.set(s.metric, time.Since(began).Seconds())
			if n := strings.Count(out, ".bin\n"); err == nil && n != listed {
				err = fmt.Errorf("%s shows %d of %d files", s.metric, n, listed)
			}
			if err != nil {
				return time.Time{}, err
			}
		}
		return time.Now(), nil
	})
}
