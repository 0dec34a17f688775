package main

import (
	"fmt"
	"path/filepath"
	"time"

	"s3mount/bench/report"
)

const (
	frameTime  = "first frame, s"
	frameTrips = "more than locally, round trips"
)

// readFrame shows the first frame of a long film whose index is at its end.
func readFrame() workload {
	return workload{
		name: "frame", store: (*bench).readStore, profiles: []string{"L1"},
		title: func(options) string {
			return "first frame by ffmpeg of an mp4 of about 2 GiB with its index at the end, cold (raw: a local file)"
		},
		columns: []report.Column{
			{Metric: frameTime, Title: frameTime},
			{Metric: frameTrips, Title: frameTrips, Goal: "≤ 4 + bytes / bandwidth"},
			{Metric: frameMiB, Title: frameMiB},
			{Metric: requests, Title: requests},
		},
		prepare: func(t *trial) error {
			film, err := t.sources.film(t)
			if err != nil {
				return err
			}
			return t.fromFile(filmKey, film)
		},
		raw:   (*trial).frameLocal,
		mount: (*trial).frameMounted,
	}
}

const (
	filmKey  = "read/film.mp4"
	frameMiB = "MiB down"
)

// frameLocal shows the frame of the local file.
func (t *trial) frameLocal() error {
	film, err := t.sources.film(t)
	if err == nil {
		_, err = t.firstFrame(film)
	}
	return err
}

func (t *trial) frameMounted() error {
	film, err := t.sources.film(t)
	if err != nil {
		return err
	}
	local, err := t.firstFrame(film)
	if err != nil {
		return err
	}
	cost, err := t.take(func(time.Time) (time.Time, error) {
		_, err := t.firstFrame(filepath.Join(t.mount.Dir, filmKey))
		return t.done(err)
	})
	if err != nil {
		return err
	}
	t.keep(0, cost)
	t.set(frameTrips, (cost.seconds-local.Seconds())/t.profile.RTT.Seconds())
	t.set(frameMiB, float64(cost.passed.Down)/mebibyte)
	return nil
}

func (t *trial) firstFrame(path string) (time.Duration, error) {
	began := time.Now()
	_, err := t.command("ffmpeg", "-v", "error", "-nostdin", "-i", path, "-frames:v", "1", "-f", "null", "-")
	took := time.Since(began)
	t.set(frameTime, took.Seconds())
	if err != nil {
		return 0, fmt.Errorf("first frame: %w", err)
	}
	return took, nil
}
