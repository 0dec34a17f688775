package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"s3mount/bench/report"
	"s3mount/bench/rig"
)

const bucket = "bench"

// bench is one execution of the program.
type bench struct {
	options
	log   report.Log
	peers []*rig.Peer

	ram, disk string // directories of our own
	stores    map[string]*rig.Store
	sources   *sources
	trials    int // counts, for names that are used once
}

func newBench(o options) (*bench, error) {
	all := workloads()
	for _, name := range o.workloads {
		i := slices.IndexFunc(all, func(w workload) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("WORKLOADS: there is no %q", name)
		}
		if !slices.ContainsFunc(o.profiles, all[i].on) {
			return nil, fmt.Errorf("WORKLOADS: %s is measured on %s; name one of them in PROFILES", name, strings.Join(all[i].profiles, ", "))
		}
	}
	b := &bench{options: o, stores: map[string]*rig.Store{}}
	if err := b.findPeers(); err != nil {
		return nil, err
	}
	err := b.makeDirs()
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.sources = newSources(filepath.Join(b.ram, "source"))
	return b, nil
}

// findPeers takes those that are chosen and there; the others are named in
// every table that they miss.
func (b *bench) findPeers() error {
	binary, err := filepath.Abs(b.binary)
	if err != nil {
		return err
	}
	all := rig.Peers(binary, func(name string) string { return filepath.Join(b.tools, name) })
	for _, name := range b.options.peers {
		if name == report.Raw {
			continue // it always has its turn
		}
		i := slices.IndexFunc(all, func(p *rig.Peer) bool { return p.Name == name })
		if i < 0 {
			return fmt.Errorf("PEERS: there is no %q", name)
		}
		b.peers = append(b.peers, all[i])
	}
	return nil
}

// makeDirs takes memory for servers and sources where there is some, so that
// no disk is measured but that of the caches.
func (b *bench) makeDirs() error {
	ram := b.options.ram
	if ram == "" {
		ram = os.TempDir()
		if free, err := rig.Free("/dev/shm"); err == nil && free > 6*b.size+gibibyte {
			ram = "/dev/shm"
		}
	}
	var err error
	if b.ram, err = os.MkdirTemp(ram, "s3mount-bench-"); err != nil {
		return err
	}
	b.disk, err = os.MkdirTemp(b.options.disk, "s3mount-bench-")
	if err == nil && rig.InMemory(b.disk) {
		err = fmt.Errorf("%s lies in memory: give a DISK_DIR on a disk", b.disk)
	}
	return err
}

// close ends the servers and removes what was made.
func (b *bench) close() error {
	var errs []error
	for _, s := range b.stores {
		errs = append(errs, s.Stop())
	}
	for _, dir := range []string{b.ram, b.disk} {
		if dir != "" {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

// all does the chosen workloads: in each run every subject has its turn, so
// that a slow minute of the machine hits all of them.
func (b *bench) all(ctx context.Context) error {
	for _, w := range workloads() {
		if len(b.workloads) > 0 && !slices.Contains(b.workloads, w.name) {
			continue
		}
		for _, p := range b.profiles {
			if !w.on(p) {
				continue
			}
			for run := 1; run <= b.runs; run++ {
				for _, peer := range append([]*rig.Peer{nil}, b.peers...) {
					if err := b.turn(ctx, w, peer, p, run); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// preamble says what the machine is, and how each peer was run.
func (b *bench) preamble() string {
	var s strings.Builder
	memory := "unknown memory"
	if n, err := rig.Memory(); err == nil {
		memory = humanize.IBytes(uint64(n)) + " RAM"
	}
	fmt.Fprintf(&s, "%d CPUs, %s, %s, %s. Medians of %d runs (least–most).\n\n", runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH, b.runs)
	for _, p := range b.profiles {
		fmt.Fprintf(&s, "- %s: %v round trip, %.0f MB/s per connection, %.0f MB/s in each direction\n", p.Name, p.RTT, p.Conn/megabyte, p.Total/megabyte)
	}
	for _, p := range b.peers {
		fmt.Fprintf(&s, "- %s: `%s`\n", p.Name, p.Options)
	}
	return s.String() + "\n"
}
