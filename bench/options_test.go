package main

import (
	"strings"
	"testing"
	"time"

	"s3mount/bench/link"
)

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if key, value, _ := strings.Cut(p, "="); key == name {
				return value
			}
		}
		return ""
	}
}

func TestReadOptions(t *testing.T) {
	o, err := readOptions(environment())
	if err != nil || o.runs != 3 || o.size != 1<<30 || o.limit != 3*time.Minute || len(o.peers) != 3 || len(o.profiles) != 2 {
		t.Errorf("defaults are %+v, %v", o, err)
	}
	o, err = readOptions(environment("RUNS=1", "SIZE=256M", "EDIT_SIZE=2GiB", "PROFILES=L2 L0", "PEERS=s3fs", "WORKLOADS=write four"))
	if err != nil || o.runs != 1 || o.size != 256<<20 || o.editSize != 2<<30 || len(o.workloads) != 2 {
		t.Errorf("got %+v, %v", o, err)
	}
	if len(o.profiles) != 2 || o.profiles[0].Name != "L2" || o.profiles[0].Total != 125e6 || o.profiles[1].Total != 0 {
		t.Errorf("got the links %+v", o.profiles)
	}
	for _, bad := range []string{"RUNS=0", "RUNS=x", "SIZE=much", "EDIT_SIZE=-1", "SIZE=1", "PROFILES=L9", "LIMIT=3"} {
		if _, err := readOptions(environment(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestUnknownNamesAreRefused(t *testing.T) {
	for _, o := range []options{
		{workloads: []string{"nothing"}, profiles: profiles},
		{workloads: []string{"four"}, profiles: []link.Profile{{Name: "L2"}}},
		{peers: []string{"nobody"}},
	} {
		if b, err := newBench(o); err == nil {
			t.Errorf("%+v is taken", o)
			b.close()
		}
	}
}

// Names are what WORKLOADS chooses by, and what results are kept under.
func TestWorkloads(t *testing.T) {
	seen := map[string]bool{}
	half := link.Profile{Name: "L1half"}
	for _, w := range workloads() {
		if w.name == "" || seen[w.name] || w.store == nil || w.mount == nil || len(w.columns) == 0 || w.title(options{size: gibibyte}) == "" {
			t.Errorf("workload %q is not whole, or is there twice", w.name)
		}
		seen[w.name] = true
		if !w.on(half) {
			t.Errorf("%s is not measured on L1half, where the machine has CPU to spare", w.name)
		}
		for _, c := range w.columns {
			if c.Ratio && w.raw == nil {
				t.Errorf("%s divides %s by a limit that it does not measure", w.name, c.Metric)
			}
		}
	}
}
