package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	mountfs "s3mount/fs"
)

type umountCmd struct {
	Mountpoint string        `arg:"" help:"Where the bucket is mounted."`
	Lazy       bool          `short:"z" help:"Detach at once, also while files are open; those stay usable until they are closed."`
	Timeout    time.Duration `help:"Stop waiting for uploads after this time; they go on in the background."`
}

func (umountCmd) Help() string {
	return `The mountpoint is free at once. The command then waits until everything is in the
bucket; when it is interrupted the uploads go on in the background.

Exit codes: 0 everything is in the bucket; 2 not everything is, nothing that was closed
is lost, and the line on stderr says how it goes on; 1 anything else.`
}

func (c umountCmd) Run(ctx context.Context, std streams) error {
	if err := checkTimeout(c.Timeout); err != nil {
		return err
	}
	mountpoint, err := absolute(c.Mountpoint)
	if err != nil {
		return err
	}
	mounts, err := openRegistry(registryDir(os.Getuid()))
	if err != nil {
		return err
	}
	rec, _, recErr := mounts.find(mountpoint)
	running := recErr == nil && rec.Mountpoint == mountpoint
	if stale, _ := mountfs.Stale(mountpoint); stale {
		return c.detachDead(mountpoint, std)
	}
	ours := isOurMount(mountpoint)
	switch {
	case !ours && !running:
		return &problem{cause: mountpoint + " is no mountpoint of s3mount", remedy: "see the mounts with: s3mount status"}
	case !running:
		if err := c.detach(mountpoint); err != nil {
			return err
		}
		return &problem{cause: "unmounted " + mountpoint + ", but its process is not one of this user", remedy: "run s3mount wait as the user who mounted"}
	case !ours:
		return c.await(ctx, newClient(rec), std, func() error { return nil }) // unmounted before, still uploading
	}
	return c.await(ctx, newClient(rec), std, func() error { return c.detach(mountpoint) })
}

func (c umountCmd) detachDead(mountpoint string, std streams) error {
	if err := mountfs.Detach(mountpoint); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "s3mount: the process of %s had died; files that were closed go on with the next mount\n", mountpoint)
	return nil
}

func (c umountCmd) detach(mountpoint string) error {
	if c.Lazy {
		return mountfs.Detach(mountpoint)
	}
	err := unmount(mountpoint)
	switch {
	case errors.Is(err, syscall.EBUSY):
		return &problem{cause: mountpoint + " is busy, files or folders are open there", remedy: "close them, or use --lazy", err: err}
	case errors.Is(err, os.ErrPermission):
		return &problem{cause: "no permission to unmount " + mountpoint, remedy: "run it as the user who mounted", err: err}
	}
	return err
}

// await unmounts, and returns when the mount's process has published
// everything.
func (c umountCmd) await(ctx context.Context, mount *client, std streams, detach func() error) error {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	wait, asked := mount.watchEnd(ctx)
	if err := detach(); err != nil {
		return err
	}
	if asked != nil {
		return goneProblem(mount.rec, asked)
	}
	stop := follow(ctx, mount, "", newProgress(std.err))
	o, err := wait()
	stop()
	switch {
	case ctx.Err() != nil:
		return &problem{cause: "unmounted, but not everything is in the bucket yet" + leftOf(mount, ""), remedy: "it goes on in the background, see s3mount status " + mount.rec.Mountpoint, err: ctx.Err(), code: exitLeft}
	case err != nil:
		return goneProblem(mount.rec, err)
	case o.FilesLeft > 0:
		return &problem{cause: o.Error, code: exitLeft}
	case o.Error != "":
		return errors.New(o.Error)
	}
	awaitExit(mount.rec.PID, 5*time.Second)
	return nil
}

// awaitExit gives the process the moment it needs to end, so that what it
// held (the lock of the cache directory) is free.
func awaitExit(pid int, limit time.Duration) {
	for deadline := time.Now().Add(limit); processLives(pid) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
}
