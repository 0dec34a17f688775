package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticks is the unit of times in /proc, the same on all Linux machines.
const ticks = 100

// Usage is what a mount has used up so far.
type Usage struct {
	CPU float64 // seconds, of user and system
	RSS int64   // bytes; the most that was ever resident
}

// Usage adds up the process of the mount and its children that live.
func (m *Mount) Usage() (Usage, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return Usage{}, err
	}
	var sum Usage
	found := false
	for _, path := range stats {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		session, cpu, ok := parseStat(string(line))
		if !ok || session != m.process.cmd.Process.Pid {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		if err != nil {
			continue
		}
		found = true
		sum.CPU += cpu
		sum.RSS += parsePeak(string(status))
	}
	if !found {
		return sum, fmt.Errorf("the mount has ended: %s", m.process.lastWords())
	}
	return sum, nil
}

// parseStat takes session and CPU seconds from a line of /proc/PID/stat. The
// name in parentheses may contain anything.
func parseStat(line string) (session int, cpu float64, ok bool) {
	_, rest, found := cutLast(line, ") ")
	f := strings.Fields(rest) // state ppid pgrp session ...
	if !found || len(f) < 13 {
		return 0, 0, false
	}
	session, err1 := strconv.Atoi(f[3])
	user, err2 := strconv.ParseInt(f[11], 10, 64)
	system, err3 := strconv.ParseInt(f[12], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return 0, 0, false
	}
	return session, float64(user+system) / ticks, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// parsePeak takes the peak resident size from /proc/PID/status, in bytes.
func parsePeak(status string) int64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
