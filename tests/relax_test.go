package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The timers of a mount's process may be late, so that its runtime wakes less often; it is the
// process that was started, under its own name.
func TestTimersMayBeLate(t *testing.T) {
	m := newMount(t, embedded(t))
	for file, want := range map[string]string{"timerslack_ns": "100000", "comm": "s3mount"} {
		got, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", m.cmd.Process.Pid, file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
}
