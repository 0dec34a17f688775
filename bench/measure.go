package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"s3mount/bench/link"
	"s3mount/bench/report"
	"s3mount/bench/rig"
)

// set keeps a value of this trial.
func (t *trial) set(metric string, value float64) { t.log.Add(t.Case, metric, value) }

// Metrics that every workload has, of the time in which the work was done.
const (
	speed    = "MB/s"
	seconds  = "s"
	cpu      = "CPU s/GiB"
	rss      = "peak RSS MiB"
	up       = "up/payload"
	down     = "down/payload"
	requests = "requests"
	conns    = "connections"
)

// spent is what some work took.
type spent struct {
	seconds float64
	passed  link.Counts
	usage   rig.Usage // of the mount's process; its RSS is the peak since it began
}

// take does some work and says what it took: of time, of the link, and of the
// mount's process. The work says when it was done, since it may have to look
// at more than that.
func (t *trial) take(work func(began time.Time) (done time.Time, err error)) (spent, error) {
	var s spent
	before, err := t.link.Counts()
	if err != nil {
		return s, err
	}
	used, err := t.usage()
	if err != nil {
		return s, err
	}
	began := time.Now()
	done, err := work(began)
	if err != nil {
		return s, err
	}
	after, err := t.link.Counts()
	if err != nil {
		return s, err
	}
	if s.usage, err = t.usage(); err != nil {
		return s, err
	}
	s.usage.CPU -= used.CPU
	s.seconds = done.Sub(began).Seconds()
	s.passed = after.Sub(before)
	return s, nil
}

// usage is nothing for the raw client.
func (t *trial) usage() (rig.Usage, error) {
	if t.mount == nil {
		return rig.Usage{}, nil
	}
	return t.mount.Usage()
}

// keep keeps what it took to move payload bytes.
func (t *trial) keep(payload int64, s spent) {
	t.set(seconds, s.seconds)
	t.set(requests, float64(s.passed.Requests))
	t.set(conns, float64(s.passed.Conns))
	if t.mount != nil {
		t.set(rss, float64(s.usage.RSS)/mebibyte)
	}
	if payload == 0 {
		return
	}
	size := float64(payload)
	t.set(speed, size/s.seconds/megabyte)
	t.set(up, float64(s.passed.Up)/size)
	t.set(down, float64(s.passed.Down)/size)
	if t.mount != nil {
		t.set(cpu, s.usage.CPU/size*gibibyte)
	}
}

// measured does some work that moves payload bytes, and keeps what it took.
func (t *trial) measured(payload int64, work func(began time.Time) (done time.Time, err error)) error {
	s, err := t.take(work)
	if err == nil {
		t.keep(payload, s)
	}
	return err
}

// usual are the given columns and those of what measured keeps besides.
func usual(first ...report.Column) []report.Column {
	for _, c := range []report.Column{
		{Metric: cpu, Title: "CPU s/GiB"},
		{Metric: rss, Title: "peak RSS, MiB"},
		{Metric: up, Title: "bytes up / payload"},
		{Metric: down, Title: "bytes down / payload"},
		{Metric: requests, Title: "requests"},
	} {
		if !slices.ContainsFunc(first, func(f report.Column) bool { return f.Metric == c.Metric }) {
			first = append(first, c)
		}
	}
	return first
}

// command runs a program to its end.
func (t *trial) command(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// poll asks until the answer is yes, past the link, and says when it was.
func poll(ctx context.Context, every time.Duration, ask func(context.Context) (bool, error)) (time.Time, error) {
	for {
		yes, err := ask(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if yes {
			return time.Now(), nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("not in the bucket: %w", context.Cause(ctx))
		case <-time.After(every):
		}
	}
}

// visible waits until an object is in the bucket with its whole size.
func (t *trial) visible(ctx context.Context, key string, size int64) (time.Time, error) {
	return poll(ctx, 10*time.Millisecond, func(ctx context.Context) (bool, error) {
		n, err := t.witness.Size(ctx, key)
		return n == size, err
	})
}

// complete waits until a prefix holds so many objects and bytes.
func (t *trial) complete(prefix string, objects int, size int64) (time.Time, error) {
	return poll(t.ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		n, bytes, err := t.witness.Totals(ctx, prefix)
		return n >= objects && bytes >= size, err
	})
}
