package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"s3mount/bench/report"
	"s3mount/bench/rig"
)

const (
	smallFiles = 1000
	smallSize  = 100 << 10
	smallWide  = 32 // requests at once of the raw client

	afterCopy = "after cp and the settle time, s"
)

// writeSmall copies a directory of small files in.
func writeSmall() workload {
	return workload{
		name: "small", store: (*bench).writeStore, profiles: []string{"L0", "L1"},
		title: func(options) string {
			return fmt.Sprintf("cp -r of %d files of %s (raw: until cp returns is writing and fdatasyncing the same files on the disk; after it, %d PUTs at once)",
				smallFiles, size(smallSize), smallWide)
		},
		columns: usual(
			report.Column{Metric: copyReturns, Title: "until cp returns / disk", Ratio: true, Goal: "≤ 2.5"},
			report.Column{Metric: copyReturns, Title: copyReturns},
			report.Column{Metric: afterCopy, Title: "after cp and settle / raw", Ratio: true, Goal: "≤ 1.2"},
			report.Column{Metric: afterCopy, Title: afterCopy},
			report.Column{Metric: seconds, Title: "all in the bucket, s"},
		),
		prepare: func(t *trial) error {
			_, err := t.smallSource()
			return err
		},
		raw:   (*trial).smallRaw,
		mount: (*trial).smallCopy,
	}
}

// smallRaw writes the files to the disk that caches are on, then sends them.
func (t *trial) smallRaw() error {
	data := make([]byte, smallSize)
	noise(data, 1)
	if err := os.MkdirAll(t.cache, 0o700); err != nil {
		return err
	}
	began := time.Now()
	keys := make([]string, smallFiles)
	for i := range keys {
		name := fmt.Sprintf("%04d.bin", i)
		keys[i] = t.name + "/" + name
		if err := writeSynced(filepath.Join(t.cache, name), data); err != nil {
			return err
		}
	}
	t.set(copyReturns, time.Since(began).Seconds())
	return t.measured(smallFiles*smallSize, func(began time.Time) (time.Time, error) {
		err := t.client.PutAll(t.ctx, keys, data, smallWide)
		t.set(afterCopy, time.Since(began).Seconds())
		return t.done(err)
	})
}

func writeSynced(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := rig.Fdatasync(f); err != nil {
		return err
	}
	return f.Close()
}

func (t *trial) smallSource() (string, error) {
	return t.sources.files("small", smallFiles, smallSize)
}

func (t *trial) smallCopy() error {
	source, err := t.smallSource()
	if err != nil {
		return err
	}
	return t.measured(smallFiles*smallSize, func(began time.Time) (time.Time, error) {
		if _, err := t.command("cp", "-r", source, filepath.Join(t.mount.Dir, t.name)); err != nil {
			return time.Time{}, err
		}
		copied := time.Now()
		t.set(copyReturns, copied.Sub(began).Seconds())
		all, err := t.complete(t.name+"/", smallFiles, smallFiles*smallSize)
		t.set(afterCopy, max(0, all.Sub(copied)-t.peer.Settle).Seconds())
		return all, err
	})
}
