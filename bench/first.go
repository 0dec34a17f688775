package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"s3mount/bench/report"
)

const (
	known   = "attributes known, round trips"
	unknown = "attributes unknown, round trips"
)

// readFirst opens small clips for the first time.
func readFirst() workload {
	return workload{
		name: "first", store: (*bench).readStore, profiles: []string{"L1"},
		title: func(options) string { return "open until the first 4 KiB, warm connections, median of 20 clips" },
		columns: []report.Column{
			{Metric: known, Title: known, Goal: "≤ 1.2"},
			{Metric: unknown, Title: unknown, Goal: "≤ 2.2"},
		},
		prepare: func(t *trial) error {
			for _, key := range append(listedClips(), unlistedClips()...) {
				if err := t.sparse(key, 64<<20); err != nil {
					return err
				}
			}
			return nil
		},
		raw: func(t *trial) error {
			return t.firstBytes(func(key string, p []byte) error {
				_, err := t.client.Object(t.ctx, key).ReadAt(p, 0)
				return err
			})
		},
		mount: (*trial).firstMounted,
	}
}

const clips = 20

func listedClips() []string {
	out := make([]string, clips)
	for i := range out {
		out[i] = fmt.Sprintf("first/listed/%02d.bin", i)
	}
	return out
}

func unlistedClips() []string {
	out := make([]string, clips)
	for i := range out {
		out[i] = fmt.Sprintf("first/%02d/clip.bin", i)
	}
	return out
}

// firstMounted asks for the attributes of some clips, and of the others for no
// more than that their folders are there.
func (t *trial) firstMounted() error {
	known := listedClips()
	for _, key := range unlistedClips() {
		known = append(known, filepath.Dir(key))
	}
	for _, key := range known {
		if _, err := os.Stat(filepath.Join(t.mount.Dir, key)); err != nil {
			return err
		}
	}
	return t.firstBytes(t.mounted)
}

// mounted opens a file by its path, reads its begin, and closes it.
func (t *trial) mounted(key string, p []byte) error {
	f, err := t.open(key)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(p, 0)
	return err
}

func (t *trial) firstBytes(read func(key string, p []byte) error) error {
	if err := t.roundTrips(known, listedClips(), read); err != nil {
		return err
	}
	return t.roundTrips(unknown, unlistedClips(), read)
}

func (t *trial) roundTrips(metric string, keys []string, read func(string, []byte) error) error {
	buf := make([]byte, 4<<10)
	var took []float64
	for _, key := range keys {
		began := time.Now()
		if err := read(key, buf); err != nil {
			return err
		}
		took = append(took, float64(time.Since(began))/float64(t.profile.RTT))
	}
	t.set(metric, report.Summarize(took).Median)
	return t.ctx.Err()
}
