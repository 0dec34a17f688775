//go:build linux

package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binary builds the command once, with the race detector if the tests have it.
func binary(t *testing.T) string {
	t.Helper()
	b := &world.binary
	b.once.Do(func() {
		b.path = filepath.Join(world.dir, "s3mount")
		args := []string{"build", "-o", b.path}
		if raceEnabled {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, "../cmd/s3mount")...)
		cmd.Dir = world.source
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("build: %v\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

// result is a command that has ended.
type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// run runs the binary to its end.
func run(t *testing.T, env []string, limit time.Duration, args ...string) result {
	t.Helper()
	return runCommand(t, env, limit, binary(t), args...)
}

func runCommand(t *testing.T, env []string, limit time.Duration, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &stdout, &stderr
	cmd.WaitDelay = 2 * time.Second
	started := time.Now()
	err := cmd.Run()
	r := result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(started)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Errorf("%s %s: still running after %v; stderr:\n%s", name, strings.Join(args, " "), limit, r.stderr)
	}
	return r
}

// environ is a clean environment in which the binary knows the server's keys.
func (s *server) environ(t *testing.T) []string {
	t.Helper()
	return environ(t, s.access, s.secret)
}

func environ(t *testing.T, access, secret string) []string {
	t.Helper()
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8",
		"AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret,
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "GORACE=halt_on_error=1 exitcode=66",
	}
	if n := os.Getenv("GOMAXPROCS"); n != "" { // more than there are CPUs shows other orders of requests
		env = append(env, "GOMAXPROCS="+n)
	}
	return env
}

// shell runs a command line on the mount and returns what it printed.
func shell(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}
