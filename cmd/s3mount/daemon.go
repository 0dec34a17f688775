package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemonEnv tells the re-executed process which descriptor leads back.
const daemonEnv = "S3MOUNT_READY_FD"

// readyWord is what the daemon writes when the mount answers; anything else
// is the one line that says why not.
const readyWord = "ready"

// daemonLimit is how long the mount may take. It is generous: after a crash
// files that wait are verified first.
const daemonLimit = 10 * time.Minute

// daemonize runs the command again as a process of its own session, and waits
// until its mount answers.
func (c *mountCmd) daemonize(ctx context.Context, args arguments) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cfg, err := c.config(nil) // mistakes in flags show before anything starts
	if err != nil {
		return err
	}
	if err := checkCacheDir(cfg.CacheDir, cfg.Mountpoint, cfg.AllowTmpfs); err != nil {
		return err
	}
	log, err := openDaemonLog(c.LogFile, cfg)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, ready, err := daemonCommand(args, os.Environ(), log)
	if err != nil {
		return err
	}
	defer ready.Close()
	if err := awaitDaemon(ctx, cmd, ready, log.Name()); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// openDaemonLog opens what becomes stderr of the daemon. Without --log-file
// it is a file in the cache directory, one for each bucket.
func openDaemonLog(path string, cfg mountConfig) (*os.File, error) {
	if path == "" {
		path = filepath.Join(cfg.CacheDir, cfg.Bucket+".log")
		if st, err := os.Stat(path); err == nil && st.Size() > 16<<20 {
			_ = os.Rename(path, path+".old")
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, &problem{cause: pathError("cannot open the log file", path, err), remedy: "name a file in a directory you may write to with --log-file", err: err}
	}
	return f, nil
}

// daemonCommand starts this program again with a pipe as descriptor 3.
func daemonCommand(args arguments, env []string, log *os.File) (*exec.Cmd, *os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "s3mount" // not the name of a copy that mount(8) calls
	cmd.Env = append(slices.Clip(env), daemonEnv+"=3")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, nil, err
	}
	return cmd, r, nil
}

// awaitDaemon waits for the daemon's word. When it is not ready the daemon
// ends by itself, and is waited for.
func awaitDaemon(ctx context.Context, cmd *exec.Cmd, ready *os.File, log string) error {
	said := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(ready).ReadString('\n')
		said <- strings.TrimSpace(text)
	}()
	select {
	case word := <-said:
		if word == readyWord {
			return nil
		}
		err := cmd.Wait()
		if word == "" {
			return &problem{cause: fmt.Sprintf("the mount ended without a word (%v)", endOf(err)), remedy: "look into " + log, err: err}
		}
		return errors.New(strings.TrimPrefix(word, "s3mount: "))
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		return ctx.Err()
	case <-time.After(daemonLimit):
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return &problem{cause: fmt.Sprintf("the mount is not there after %v", daemonLimit), remedy: "look into " + log}
	}
}

func endOf(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// serves tells whether a command line mounts in this process, and not in one that it starts.
func serves(args []string, daemon bool) bool {
	if len(args) == 0 || args[0] != "mount" {
		return false
	}
	return daemon || slices.Contains(args, "--foreground") || slices.Contains(args, "-f")
}

// daemon is the other end of the pipe.
type daemon struct {
	pipe *os.File
	told bool
}

// daemonPipe is nil in a process that nobody started as a daemon.
func daemonPipe() *daemon {
	fd, err := strconv.Atoi(os.Getenv(daemonEnv))
	if err != nil || fd < 3 {
		return nil
	}
	os.Unsetenv(daemonEnv)
	syscall.CloseOnExec(fd)
	return &daemon{pipe: os.NewFile(uintptr(fd), "ready")}
}

// ready lets the command in the foreground end well.
func (d *daemon) ready() {
	_ = chdirRoot()
	d.tell(readyWord)
}

// report passes the error of a mount that did not come up to the command in
// the foreground; later ones go to the log.
func (d *daemon) report(err error) error {
	if err == nil || d.told {
		return err
	}
	d.tell(line(err))
	return err
}

func (d *daemon) tell(word string) {
	if d.told {
		return
	}
	d.told = true
	fmt.Fprintln(d.pipe, word)
	d.pipe.Close()
}
