package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	mountfs "s3mount/fs"
	"s3mount/internal/embed"
)

type demoCmd struct {
	Dir    string `arg:"" optional:"" help:"Directory for the demo; it stays. Default: a temporary one that is removed at the end."`
	Script bool   `name:"run" help:"Make footage, copy it in, play it back, compare, and end."`
}

func (demoCmd) Help() string {
	return `Starts an S3 server inside this process, with a directory as its disk, and mounts a
bucket of it. It stays until Ctrl-C. Nothing leaves this machine.

Examples:
  s3mount demo
  s3mount demo ~/s3mount-demo
  s3mount demo --run`
}

// demoBucket is the bucket of the demo.
const demoBucket = "footage"

// demo is a server with a mount of it.
type demo struct {
	dir    string
	std    streams
	server *embed.Server

	cmd *exec.Cmd // the mount; nil: not mounted
}

func (d *demo) mountpoint() string { return filepath.Join(d.dir, "mnt") }
func (d *demo) backend() string    { return filepath.Join(d.dir, "bucket") }
func (d *demo) objects() string    { return filepath.Join(d.backend(), "objects", demoBucket) }
func (d *demo) cache() string      { return filepath.Join(d.dir, "cache") }
func (d *demo) log() string        { return filepath.Join(d.dir, "s3mount.log") }

// Run starts the server, mounts, and takes everything away at the end.
func (c demoCmd) Run(ctx context.Context, std streams) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d := &demo{dir: c.Dir, std: std}
	if c.Dir == "" {
		if d.dir, err = os.MkdirTemp("", "s3mount-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(d.dir)
	}
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	}
	if err := d.startServer(ctx); err != nil {
		return err
	}
	defer d.server.Close()
	defer func() { err = errors.Join(err, d.unmount(context.Background())) }()
	if c.Script {
		err = d.script(ctx)
	} else {
		err = d.stay(ctx)
	}
	if ctx.Err() != nil && c.Script && c.Dir == "" {
		return &problem{cause: "the demo was stopped", remedy: "what it had made is removed, run it again"}
	}
	return err
}

func (d *demo) startServer(ctx context.Context) error {
	for _, dir := range []string{d.mountpoint(), d.backend()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return &problem{cause: pathError("cannot make", dir, err), remedy: "name a directory you may write to", err: err}
		}
	}
	server, err := embed.Start(context.WithoutCancel(ctx), d.backend())
	if err != nil {
		return err
	}
	d.server = server
	if _, err := os.Stat(d.objects()); err == nil {
		return nil // of an earlier demo
	}
	if err := server.CreateBucket(demoBucket); err != nil {
		server.Close()
		return err
	}
	return nil
}

// environment is this process's, with the keys of the server and without
// what could lead elsewhere.
func (d *demo) environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") {
			env = append(env, kv)
		}
	}
	return append(env, "AWS_ACCESS_KEY_ID="+d.server.AccessKey, "AWS_SECRET_ACCESS_KEY="+d.server.SecretKey,
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
}

// mountLine is the command as a user would type it.
func (d *demo) mountLine() arguments {
	return arguments{"mount", demoBucket, d.mountpoint(), "--endpoint", d.server.Endpoint()}
}

// mount mounts by the command itself, in a process of its own.
func (d *demo) mount(ctx context.Context) error {
	log, err := os.OpenFile(d.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append(d.mountLine(), "--foreground", "--allow-tmpfs", "--cache-dir", d.cache())
	cmd, ready, err := daemonCommand(args, d.environment(), log)
	if err != nil {
		return err
	}
	defer ready.Close()
	if err := awaitDaemon(ctx, cmd, ready, d.log()); err != nil {
		return err
	}
	d.cmd = cmd
	return nil
}

// unmount unmounts and waits for the uploads. When that fails it takes the
// mount away, so that nothing is left behind.
func (d *demo) unmount(ctx context.Context) error {
	if d.cmd == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err := umountCmd{Mountpoint: d.mountpoint()}.Run(ctx, d.std)
	if err != nil {
		_ = mountfs.Detach(d.mountpoint())
		_ = d.cmd.Process.Kill()
	}
	if e := d.cmd.Wait(); e != nil && err == nil {
		err = fmt.Errorf("the mount ended badly: %w", e)
	}
	d.cmd = nil
	return err
}

// stay leaves the mount up until Ctrl-C.
func (d *demo) stay(ctx context.Context) error {
	if err := d.mount(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.std.out, `The bucket %q is mounted at %s
Its objects are plain files in %s

Try, in another terminal:
  cp FILE %s/            copy something in
  ls -l %s                see it in the mount
  s3mount wait %s         wait until it is in the bucket
  ls -l %s     see it in the bucket
  s3mount status                     what is not in the bucket yet

Ctrl-C ends the demo.
`, demoBucket, d.mountpoint(), d.objects(),
		d.mountpoint(), d.mountpoint(), d.mountpoint(), d.objects())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for isOurMount(d.mountpoint()) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	}()
	<-ended
	fmt.Fprintln(d.std.out)
	return nil
}
