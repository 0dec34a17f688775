package main

import (
	"os"
	"runtime"
	"testing"
)

// Where an execve takes the slack away, the process begins anew once.
func TestBeginsAnewOnce(t *testing.T) {
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
