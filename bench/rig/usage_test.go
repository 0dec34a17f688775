package rig

import "testing"

func TestParseStat(t *testing.T) {
	const line = "4242 (odd) name (x)) S 1 4242 4240 0 -1 4194560 900 0 0 0 150 250 7 8 20 0 9 0 1000 1 2 3"
	session, cpu, ok := parseStat(line)
	if !ok || session != 4240 || cpu != 4 {
		t.Errorf("got session %d, %v CPU seconds, %v; want 4240, 4, true", session, cpu, ok)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1 2", "1 (x) S 1 2 z 0 0 0 0 0 0 0 1 2"} {
		if _, _, ok := parseStat(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestParsePeak(t *testing.T) {
	if got := parsePeak("Name:\tx\nVmPeak:\t 999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n"); got != 2<<20 {
		t.Errorf("got %d, want 2 MiB", got)
	}
	if got := parsePeak("Name:\tx\n"); got != 0 {
		t.Errorf("got %d without a line, want 0", got)
	}
}
