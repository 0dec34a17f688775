package main

import (
	"os"
	"runtime"
	"testing"
)

func TestProcessors(t *testing.T) {
	for cpus, want := range map[int]int{1: 16, 2: 16, 4: 16, 8: 32, 16: 64, 48: 64, 128: 128} {
		if got := processors(cpus); got != want {
			t.Errorf("%d CPUs: %d, want %d", cpus, got, want)
		}
	}
}

// Where an execve takes the slack away, the process begins anew once.
func TestBeginsAnewOnce(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")
	t.Setenv(relaxedEnv, "1")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := slack()
	relax()
	if before >= timerSlack || slack() != before {
		t.Errorf("this process was begun anew: its timers may be late by %v, and by %v before", slack(), before)
	}
	if s, ok := os.LookupEnv(relaxedEnv); ok {
		t.Errorf("programs that it starts see %s=%s", relaxedEnv, s)
	}
}
