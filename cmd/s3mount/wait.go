package main

import (
	"context"
	"os"
	"time"
)

type waitCmd struct {
	Paths   []string      `arg:"" optional:"" name:"path" help:"Files or folders in a mount. Default: everything in all mounts of this user."`
	Timeout time.Duration `help:"Give up after this time."`
}

func (waitCmd) Help() string {
	return `The exit code is 0 only when all of it is in the bucket.

Example:
  cp -a card /mnt/footage/day1 && s3mount wait /mnt/footage/day1 && echo safe`
}

func (c waitCmd) Run(ctx context.Context, std streams) error {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	places, err := c.places()
	if err != nil {
		return err
	}
	for _, p := range places {
		if err := p.wait(ctx, std); err != nil {
			return err
		}
	}
	return nil
}

// place is a path in a mount.
type place struct {
	rec record
	rel string
}

func (c waitCmd) places() ([]place, error) {
	var all []place
	if len(c.Paths) == 0 {
		mounts, err := runningMounts("")
		for _, rec := range mounts {
			all = append(all, place{rec: rec})
		}
		return all, err
	}
	reg, err := openRegistry(registryDir(os.Getuid()))
	if err != nil {
		return nil, err
	}
	for _, path := range c.Paths {
		rec, rel, err := reg.find(path)
		if err != nil {
			return nil, err
		}
		all = append(all, place{rec, rel})
	}
	return all, nil
}

func (p place) wait(ctx context.Context, std streams) error {
	c := newClient(p.rec)
	stop := follow(ctx, c, newProgress(std.err))
	err := c.wait(ctx, p.rel)
	stop()
	if ctx.Err() != nil {
		return &problem{cause: "not all of it is in the bucket yet", remedy: "see what is left with: s3mount status " + p.rec.Mountpoint, err: ctx.Err()}
	}
	return goneProblem(p.rec, err)
}

// follow shows what is left of a mount until stop is called.
func follow(ctx context.Context, c *client, p *progress) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.end()
		ticks := time.NewTicker(500 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			if st, err := c.status(ctx); err == nil {
				p.show(st.BytesLeft, st.FilesLeft)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
