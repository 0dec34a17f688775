package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"s3mount/bench/link"
	"s3mount/bench/raw"
	"s3mount/bench/report"
	"s3mount/bench/rig"
)

// workload is something to measure.
type workload struct {
	name     string
	title    func(options) string
	profiles []string // links that it makes sense on, L1half where L1 is; empty: all
	store    func(*bench) (*rig.Store, error)
	onlyOwn  string   // why it is no work for the peers; empty: it is
	flags    []string // for s3mount
	columns  []report.Column

	// prepare makes sources and objects, and is not measured.
	prepare func(*trial) error
	raw     func(*trial) error // nil: there is no limit to compare with
	mount   func(*trial) error
	slow    bool // it takes minutes: five times the limit
}

// on tells whether w makes sense on a link.
func (w workload) on(p link.Profile) bool {
	return len(w.profiles) == 0 || slices.Contains(w.profiles, strings.TrimSuffix(p.Name, "half"))
}

// prepareLimit is for making sources and objects, which is done once.
const prepareLimit = 10 * time.Minute

// trial is one turn of a subject.
type trial struct {
	*bench
	report.Case
	ctx     context.Context
	profile link.Profile
	peer    *rig.Peer // nil: the raw client
	flags   []string

	store   *rig.Store
	link    *link.Process
	client  *raw.Client // through the link
	witness *raw.Client // past it
	mount   *rig.Mount  // nil: the raw client
	name    string      // of what it writes
	cache   string      // of the mount; or room on the same disk

	mu      sync.Mutex
	aborted bool
}

// turn lets one subject do one workload. What goes wrong with the subject is
// noted, and is no error; an error says that the benchmark itself is broken.
func (b *bench) turn(ctx context.Context, w workload, peer *rig.Peer, p link.Profile, run int) error {
	if ctx.Err() != nil {
		return nil
	}
	c := report.Case{Workload: w.name, Profile: p.Name, Subject: report.Raw, Run: run}
	if peer != nil {
		c.Subject = peer.Name
	}
	switch {
	case peer == nil && w.raw == nil:
		return nil
	case peer != nil && peer.Name != rig.Own && w.onlyOwn != "":
		b.log.Note(c, "not run: "+w.onlyOwn)
		return nil
	case peer != nil:
		if err := peer.Find(); err != nil {
			b.log.Note(c, err.Error())
			return nil
		}
	}
	b.trials++
	t := &trial{bench: b, Case: c, profile: p, peer: peer, name: fmt.Sprintf("%s-%d", w.name, b.trials)}
	t.flags = slices.Concat(b.flags, w.flags)
	var err error
	if t.store, err = w.store(b); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s %s run %d: %s\n", c.Workload, c.Profile, c.Run, c.Subject)
	if err := t.begin(); err != nil {
		return err
	}
	err = t.do(ctx, w)
	if ctx.Err() == nil && err != nil {
		b.log.Note(c, err.Error())
		fmt.Fprintf(os.Stderr, "  %v\n", err)
	}
	return t.close(err != nil)
}

// begin makes a link of its own, with counters at zero.
func (t *trial) begin() error {
	cmd, err := self("link")
	if err != nil {
		return err
	}
	if t.link, err = link.Spawn(cmd, t.profile, t.store.Addr); err != nil {
		return err
	}
	t.client = t.bench.client(t.store, "http://"+t.link.Addr)
	t.witness = t.bench.client(t.store, t.store.Endpoint())
	t.cache = filepath.Join(t.disk, t.name)
	return nil
}

// do bounds the work by the time limit.
func (t *trial) do(ctx context.Context, w workload) error {
	if w.prepare != nil {
		limited, cancel := context.WithTimeout(ctx, prepareLimit)
		defer cancel()
		t.ctx = limited
		if err := w.prepare(t); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	limit := t.limit
	if w.slow {
		limit *= 5
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	t.ctx = limited
	work := w.raw
	if t.peer != nil {
		work = w.mount
		if err := t.remount(); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(limited, t.abort)
	defer stop()
	err := work(t)
	if limited.Err() != nil {
		return context.Cause(limited)
	}
	if err != nil && t.mount != nil && !t.mount.Running() {
		err = fmt.Errorf("%w; the mount has ended: %s", err, t.mount.LastWords())
	}
	return err
}

// remount mounts, with the cache of an earlier mount of this trial if there
// was one.
func (t *trial) remount() error {
	if err := t.unmount(); err != nil {
		return err
	}
	m, err := t.peer.Mount(t.ctx, rig.Place{
		Endpoint: "http://" + t.link.Addr, Bucket: bucket,
		AccessKey: t.store.AccessKey, SecretKey: t.store.SecretKey,
		Dir: filepath.Join(t.disk, t.name+".mnt"), Cache: t.cache, Flags: t.flags,
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mount = m
	if t.aborted {
		m.Abort()
	}
	return nil
}

// unmount waits until the mount has uploaded what it has to.
func (t *trial) unmount() error {
	if t.mount == nil {
		return nil
	}
	m := t.mount
	t.mu.Lock()
	t.mount = nil
	t.mu.Unlock()
	return m.Unmount()
}

// abort ends the mount's process when the time is over: calls that hang in
// the kernel return then, and nothing else makes them.
func (t *trial) abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.aborted = true
	if t.mount != nil {
		t.mount.Abort()
	}
}

// close ends mount and link and removes what was written. A mount that failed
// gets no time to upload the rest.
func (t *trial) close(failed bool) error {
	end := t.unmount
	if failed && t.mount != nil {
		end = t.mount.Kill
	}
	if err := end(); err != nil {
		t.log.Note(t.Case, err.Error())
	}
	t.client.Close()
	errs := []error{t.link.Close(), os.RemoveAll(t.cache), os.RemoveAll(t.cache + ".log")}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	errs = append(errs, t.witness.Delete(ctx, t.name))
	t.witness.Close()
	return errors.Join(errs...)
}
