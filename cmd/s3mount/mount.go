package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	mountfs "s3mount/fs"
	"s3mount/internal/s3"
)

type mountCmd struct {
	Bucket     target `arg:"" placeholder:"BUCKET[/PREFIX]" help:"Bucket, or a folder in it."`
	Mountpoint string `arg:"" help:"Empty directory where it shall appear."`

	bucketFlags `group:"The bucket:"`
	writeFlags  `group:"What is written:"`

	CacheDir     string        `default:"${cache}" placeholder:"DIR" help:"Where files wait on local disk until they are in the bucket (${cache})." group:"Local:"`
	SpoolSize    size          `default:"0" placeholder:"SIZE" help:"Most that files which are not in the bucket yet take on local disk. A larger file goes through in parts, and its close waits for the bucket. Default: 90 % of the free disk." group:"Local:"`
	CacheSize    *size         `placeholder:"SIZE" help:"Most that blocks of files take on local disk, to be read again without the bucket; 0 for none. Default: 20GiB, or a tenth of the free disk." group:"Local:"`
	Memory       size          `default:"${memory}" placeholder:"SIZE" help:"Memory for reading and writing (${default})." group:"Local:"`
	ReadaheadMax size          `default:"0" placeholder:"SIZE" help:"Most that is read ahead of one stream. Default: a share of --memory." group:"Local:"`
	AllowTmpfs   bool          `help:"Accept a cache directory in memory: files that are not in the bucket yet are lost with the machine." group:"Local:"`
	ListTTL      time.Duration `default:"5s" help:"How long a listing is believed (${default})." group:"Local:"`

	Times string `enum:"exact,listing" default:"exact" help:"Times, modes and owners that stat shows of files that were never seen before: exact, one request for each file, or those of the listing (${enum}; ${default})." group:"The mount:"`

	ReadOnly   bool    `help:"Write nothing to the bucket." group:"The mount:"`
	AllowOther bool    `help:"Let other users in." group:"The mount:"`
	NoExec     bool    `name:"noexec" help:"Let nobody run programs from the mount." group:"The mount:"`
	UID        *uint32 `name:"uid" help:"Owner of files that have none. Default: you." group:"The mount:"`
	GID        *uint32 `name:"gid" help:"Group of files that have none. Default: yours." group:"The mount:"`
	FSName     string  `name:"fsname" placeholder:"NAME" help:"Name of the source in the list of mounts. Default: s3mount:BUCKET/PREFIX." group:"The mount:"`
	Umask      octal   `default:"022" help:"Permissions taken from files that have none (${default})." group:"The mount:"`

	Close        string        `enum:"journal,bucket" default:"journal" help:"A close returns when the file is safe on local disk (journal) or in the bucket (${enum}; ${default})." group:"Safety:"`
	Fsync        string        `enum:"bucket,journal" default:"bucket" help:"An fsync returns when the file is in the bucket or safe on local disk (${enum}; ${default})." group:"Safety:"`
	FsyncTimeout time.Duration `default:"1m" help:"After this time without the bucket an fsync fails (${default})." group:"Safety:"`
	Settle       time.Duration `default:"1s" help:"Pause after a close in which late changes of times, modes and names fold in (${default})." group:"Safety:"`
	PartSize     size          `default:"0" placeholder:"SIZE" help:"Size of the parts of an upload. Default: they grow with the file, but for R2, which wants them equal (32MiB)." group:"Safety:"`
	DrainTimeout time.Duration `default:"10m" help:"How long a signal leaves for uploads; after an unmount, how long they may stand still (${default}; 0: no limit)." group:"Safety:"`

	Foreground  bool   `short:"f" help:"Stay in the foreground." group:"Process:"`
	LogLevel    string `enum:"debug,info,warn,error" default:"info" help:"Least level that is logged: ${enum} (${default})." group:"Process:"`
	DebugListen string `placeholder:"ADDR" help:"Serve profiles of the process at http://ADDR/debug/pprof/; an address of this machine, such as 127.0.0.1:6060." group:"Process:"`
	LogFile     string `placeholder:"FILE" help:"Where the log goes. Default: stderr in the foreground, else a file in the cache directory." group:"Process:"`
}

func (mountCmd) Help() string {
	return `Files appear as objects under the same key. A close returns when the file is safe on
local disk; the upload goes on in the background and survives a crash. To know that
everything is in the bucket use "s3mount wait MOUNTPOINT".

Examples:
  s3mount mount footage /mnt/footage
  s3mount mount footage/day1 /mnt/day1 --profile studio --region eu-central-1
  s3mount mount footage /mnt/f --endpoint http://192.168.1.5:9000 --memory 2GiB
  s3mount mount public-data /mnt/p --anonymous --read-only --foreground`
}

// checkLimit is how long the checks before a mount may take together. With
// a server that never answers the command ends then.
const checkLimit = 8 * time.Second

func (c *mountCmd) Run(ctx context.Context, std streams, args arguments) error {
	if d := daemonPipe(); d != nil {
		return d.report(c.serve(ctx, std, false, d.ready))
	}
	if c.Foreground {
		return c.serve(ctx, std, true, func() {})
	}
	return c.daemonize(ctx, args)
}

// serve mounts in this process and stays until the mount is gone and all is
// in the bucket. It calls ready when the mount answers. With hold, nothing is
// logged before that.
func (c *mountCmd) serve(ctx context.Context, std streams, hold bool, ready func()) error {
	log, err := c.openLog(std, hold)
	if err != nil {
		return err
	}
	defer log.Close()
	cfg, err := c.config(log.Logger)
	if err != nil {
		return err
	}
	if err := quickCheck(ctx, &cfg, log.Logger); err != nil {
		return err
	}
	return c.host(cfg, std, log).run(ctx, ready)
}

// quickCheck is the part of doctor that every mount runs: it finds what would
// make the mount fail, while a clear message is still possible. The mount goes on with the
// bucket that was asked: its region is known then, and its connections are there.
func quickCheck(ctx context.Context, cfg *mountConfig, log *slog.Logger) error {
	if err := replaceStale(cfg.Mountpoint, log); err != nil {
		return err
	}
	if err := mountfs.Check(mountfs.Options{Mountpoint: cfg.Mountpoint, AllowOther: cfg.AllowOther, ReadOnly: cfg.ReadOnly}); err != nil {
		return err
	}
	if err := checkCacheDir(cfg.CacheDir, cfg.Mountpoint, cfg.AllowTmpfs); err != nil {
		return err
	}
	bucket, err := checkBucket(ctx, cfg.S3)
	if err != nil {
		return err
	}
	cfg.bucket = bucket
	bucket.Expect() // who mounts looks into it next
	return nil
}

// replaceStale detaches what a dead process left at the mountpoint.
func replaceStale(mountpoint string, log *slog.Logger) error {
	stale, _ := mountfs.Stale(mountpoint)
	if !stale {
		return nil
	}
	if err := mountfs.Detach(mountpoint); err != nil {
		return &problem{cause: pathError("the mountpoint of a dead process stays", mountpoint, err), remedy: "detach it with: fusermount3 -uz " + mountpoint, err: err}
	}
	log.Info("replaced the mountpoint of a process that had died", "mountpoint", mountpoint)
	return nil
}

// checkBucket opens the bucket and finds out whether it can be listed.
func checkBucket(ctx context.Context, c s3.Config) (*s3.Bucket, error) {
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	bucket, err := s3.Open(limited, c)
	if err == nil {
		err = bucket.Check(limited)
	}
	var said *s3.Error
	answered := errors.As(err, &said) && said.Status != 0
	if err != nil && !answered && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return nil, &problem{
			cause:  fmt.Sprintf("%s does not answer within %v (timeout)", endpointName(c), checkLimit),
			remedy: "check the address, the network and the proxy settings",
			err:    s3.ErrTimeout,
		}
	}
	return bucket, err
}

// endpointName is the server as a user knows it.
func endpointName(c s3.Config) string {
	if c.Endpoint == "" {
		return "AWS S3"
	}
	return "the endpoint " + safeURL(c.Endpoint)
}

// chdirRoot lets go of the directory the command was started in, so that a
// mount in the background does not keep a disk busy.
func chdirRoot() error { return os.Chdir("/") }
