package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"s3mount/bench/link"
)

// options is what the environment chooses.
type options struct {
	workloads, peers []string // empty: all
	profiles         []link.Profile
	runs             int
	size             int64 // of the large file
	editSize         int64 // of the object that is edited
	limit            time.Duration
	ram, disk        string // where servers and caches are; empty: found
	out              string
	binary           string
	tools            string
	flags            []string // more flags for s3mount
}

const (
	megabyte = 1e6
	mebibyte = 1 << 20
	gibibyte = 1 << 30
)

// profiles are the links that can be chosen.
var profiles = []link.Profile{
	{Name: "L0"},
	{Name: "L1", RTT: 30 * time.Millisecond, Conn: 50 * megabyte, Total: 312 * megabyte},
	{Name: "L2", RTT: 30 * time.Millisecond, Conn: 50 * megabyte, Total: 125 * megabyte},
	// L1 in slow motion: as many bytes on the line, half the CPU for each second.
	{Name: "L1half", RTT: 60 * time.Millisecond, Conn: 25 * megabyte, Total: 156 * megabyte},
}

func readOptions(env func(string) string) (options, error) {
	or := func(name, otherwise string) string {
		if v := env(name); v != "" {
			return v
		}
		return otherwise
	}
	o := options{
		workloads: strings.Fields(env("WORKLOADS")),
		peers:     strings.Fields(or("PEERS", "s3mount rclone s3fs")),
		ram:       env("RAM_DIR"), disk: env("DISK_DIR"),
		out:    or("OUT", "bin/bench"),
		binary: or("S3MOUNT", "bin/s3mount"),
		tools:  env("TOOLS"),
		flags:  strings.Fields(env("S3MOUNT_FLAGS")),
	}
	for _, name := range strings.Fields(or("PROFILES", "L1 L2")) {
		i := slices.IndexFunc(profiles, func(p link.Profile) bool { return p.Name == name })
		if i < 0 {
			return o, fmt.Errorf("PROFILES: there is no link %q", name)
		}
		o.profiles = append(o.profiles, profiles[i])
	}
	var err error
	if o.runs, err = strconv.Atoi(or("RUNS", "3")); err != nil || o.runs < 1 {
		return o, fmt.Errorf("RUNS: %q is no number from 1 on", env("RUNS"))
	}
	if o.size, err = bytesOf(or("SIZE", "1GiB")); err != nil {
		return o, fmt.Errorf("SIZE: %w", err)
	}
	if o.editSize, err = bytesOf(or("EDIT_SIZE", "10GiB")); err != nil {
		return o, fmt.Errorf("EDIT_SIZE: %w", err)
	}
	if o.limit, err = time.ParseDuration(or("LIMIT", "3m")); err != nil {
		return o, fmt.Errorf("LIMIT: %w", err)
	}
	return o, nil
}

// minSize is the least that all workloads have something to do with.
const minSize = 64 << 20

// bytesOf reads a size; 1G is 1 GiB.
func bytesOf(s string) (int64, error) {
	if last := s[len(s)-1]; strings.ContainsRune("KMGT", rune(last)) {
		s += "iB"
	}
	n, err := humanize.ParseBytes(s)
	if err == nil && (n < minSize || n > 1<<40) {
		err = fmt.Errorf("%s is not between 64 MiB and 1 TiB", s)
	}
	return int64(n), err
}
