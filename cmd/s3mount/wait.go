package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

type waitCmd struct {
	Paths   []string      `arg:"" optional:"" name:"path" help:"Files or folders in a mount. Default: everything in all mounts of this user."`
	Timeout time.Duration `placeholder:"TIME" help:"Stop waiting after this time, such as 30m. Default: wait as long as it takes."`
}

func (waitCmd) Help() string {
	return `The exit code is 0 only when all of it is in the bucket.

What a retry may mend, such as a lost network, is shown and does not end the wait. A
file that is open for writing is not safe: the command waits for all others, names it,
and ends with 3.

Exit codes: 0 all of it is in the bucket; 2 the time is over; 3 only files that are open
for writing are left; 1 anything else: a file needs your help, the mount has ended.

Example:
  cp -a card /mnt/footage/day1 && s3mount wait /mnt/footage/day1 && echo safe`
}

func (c waitCmd) Run(ctx context.Context, std streams) error {
	if err := checkTimeout(c.Timeout); err != nil {
		return err
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	places, err := placesOf(c.Paths)
	if err != nil {
		return err
	}
	var open error
	for _, p := range places {
		err := p.wait(ctx, std, c.Timeout)
		var prob *problem
		if errors.As(err, &prob) && prob.code == exitOpen {
			open = err // the others first
			continue
		}
		if err != nil {
			return err
		}
	}
	return open
}

// checkTimeout refuses a --timeout that is no time.
func checkTimeout(limit time.Duration) error {
	if limit < 0 {
		return &problem{cause: fmt.Sprintf("--timeout %v is negative", limit), remedy: "give a time like 30s or 10m"}
	}
	return nil
}

// place is a path in a mount.
type place struct {
	rec record
	rel string // below the mountpoint, with slashes
}

// placesOf is the places that paths lead to; all mounts of this user without any.
func placesOf(paths []string) ([]place, error) {
	var all []place
	if len(paths) == 0 {
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
	for _, path := range paths {
		some, err := reg.places(path)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func (p place) wait(ctx context.Context, std streams, limit time.Duration) error {
	c := newClient(p.rec)
	show := newProgress(std.err)
	show.quiet = true
	stop := follow(ctx, c, p.rel, show)
	w, err := c.wait(ctx, p.rel)
	stop()
	switch {
	case ctx.Err() != nil:
		return &problem{
			cause:  fmt.Sprintf("not all of it is in the bucket after %v%s", limit, leftOf(c, p.rel)),
			remedy: "it goes on in the background, see: s3mount status " + p.rec.Mountpoint,
			err:    ctx.Err(), code: exitLeft,
		}
	case err != nil:
		return goneProblem(p.rec, err)
	}
	return w.problem(p)
}

// problem is why the wait was in vain, nil when it was not.
func (w *waited) problem(p place) error {
	if stuck := w.stuck(); len(stuck) > 0 {
		f := stuck[0]
		return &problem{
			cause:  fmt.Sprintf("%s cannot be sent: %s", nameOne(stuck), f.Error),
			remedy: orElse(f.Remedy, "see: s3mount status "+p.rec.Mountpoint),
		}
	}
	if w.Error != "" {
		return &problem{cause: w.Error, remedy: orElse(w.Remedy, "see: s3mount status "+p.rec.Mountpoint)}
	}
	if open := w.writing(); len(open) > 0 {
		return &problem{
			cause:  nameOne(open) + " is still open for writing and not safe; all else is in the bucket",
			remedy: "close it in the program that writes it, then wait again", code: exitOpen,
		}
	}
	return nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// nameOne names the first of some files, and how many there are.
func nameOne(files []PendingFile) string {
	name := printable(files[0].Path)
	if n := len(files) - 1; n > 0 {
		name += fmt.Sprintf(" (and %s)", plural(n, "other"))
	}
	return name
}

// leftOf is ": 3 files, 1.2 GB left" of a path in a mount that answers.
func leftOf(c *client, path string) string {
	st, err := c.status(context.Background(), path, true)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(": %s, %s left", plural(st.FilesLeft, "file"), bytesText(st.BytesLeft))
}

// follow shows what is left below a path of a mount, and each failure once, until
// stop is called.
func follow(ctx context.Context, c *client, path string, p *progress) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.end()
		ticks := time.NewTicker(500 * time.Millisecond)
		defer ticks.Stop()
		for {
			if st, err := c.status(ctx, path, true); err == nil {
				for _, f := range st.Files {
					p.note(failureText(f))
				}
				p.show(st.totals)
			}
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// failureText is the failure of one file, the same at each try.
func failureText(f PendingFile) string {
	return oneLine(printable(f.Path) + " is not in the bucket yet, it is tried again: " + f.Error)
}
