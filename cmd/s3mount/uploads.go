package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

type uploadsCmd struct {
	Target string `arg:"" name:"bucket" placeholder:"BUCKET[/PREFIX]|MOUNTPOINT" help:"Bucket, a folder in it, or a mountpoint: then the mount asks, with its credentials."`

	bucketFlags `group:"The bucket:"`

	JSON         bool   `name:"json" help:"Print JSON."`
	AbortOrphans bool   `help:"Abort uploads that no journal on this machine knows and that rested for --older-than."`
	OlderThan    age    `default:"24h" placeholder:"TIME" help:"How long an orphan must have rested, such as 12h or 7d (${default})."`
	CacheDir     string `default:"${cache}" placeholder:"DIR" help:"Where mounts keep their journals, when that is not the default (${cache})."`
}

func (uploadsCmd) Help() string {
	return `Lists multipart uploads that were neither completed nor aborted, of whatever program,
also those in progress: when it began, bytes and parts, the key, and who owns it. The
store charges for their parts.

With --abort-orphans it aborts those that have no owner on this machine and in which
nothing has happened for --older-than. It cannot see other machines: an upload there is
protected by that time alone.

MinIO lists uploads by whole keys only: there you see those whose keys a journal on this
machine knows.`
}

// age is a time span on the command line, with days.
type age time.Duration

func (a *age) UnmarshalText(text []byte) error {
	word := string(text)
	if days, ok := strings.CutSuffix(word, "d"); ok {
		word = days + "h"
		d, err := time.ParseDuration(word)
		if err == nil && d >= 0 {
			*a = age(24 * d)
			return nil
		}
	} else if d, err := time.ParseDuration(word); err == nil && d >= 0 {
		*a = age(d)
		return nil
	}
	return fmt.Errorf("%q is no time span, write it like 12h or 7d", text)
}

// String is for the help.
func (a age) String() string { return time.Duration(a).String() }

func (c uploadsCmd) Run(ctx context.Context, std streams) error {
	o := sweep{Abort: c.AbortOrphans, OlderThan: time.Duration(c.OlderThan)}
	found, err := c.find(ctx, o)
	if err == nil || len(found) > 0 { // what was aborted before the error, too
		if err := c.print(std.out, found); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	failed := 0
	for _, u := range found {
		if u.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		return &problem{cause: plural(failed, "upload") + " could not be aborted", remedy: "see the lines above, and try again"}
	}
	return nil
}

// mount is the one that the target names, nil when that is a bucket. What does not begin as a
// path is a mount where it is the mountpoint itself: who works in a mount may name any bucket.
func (c uploadsCmd) mount() (*client, error) {
	path := strings.ContainsAny(c.Target[:min(1, len(c.Target))], "/.")
	mounts, err := runningMounts(c.Target)
	if err != nil {
		if !path {
			err = nil
		}
		return nil, err
	}
	if full, err := absolute(c.Target); !path && (err != nil || full != mounts[0].Mountpoint) {
		return nil, nil
	}
	return newClient(mounts[0]), nil
}

// find asks the mount when the target is one, else the bucket.
func (c uploadsCmd) find(ctx context.Context, o sweep) ([]uploadStatus, error) {
	if mount, err := c.mount(); err != nil || mount != nil {
		if err != nil {
			return nil, err
		}
		return mount.uploads(ctx, o)
	}
	var t target
	if err := t.UnmarshalText([]byte(c.Target)); err != nil {
		return nil, &problem{cause: err.Error(), remedy: "see s3mount uploads --help", err: err}
	}
	cfg, err := c.config(t, writeFlags{}, nil)
	if err != nil {
		return nil, err
	}
	bucket, err := checkBucket(ctx, cfg)
	if err != nil {
		return nil, err
	}
	cache, err := filepath.Abs(c.CacheDir)
	if err != nil {
		return nil, err
	}
	return sweeper{bucket: bucket, name: t.bucket, prefix: t.prefix, caches: []string{cache}}.run(ctx, o)
}

func (c uploadsCmd) print(out io.Writer, found []uploadStatus) error {
	if c.JSON {
		if found == nil {
			found = []uploadStatus{}
		}
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(found)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, u := range found {
		fmt.Fprintf(w, "%s\t%s in %s\t%s\t%s\t%s\n", humanize.Time(u.Initiated), bytesText(u.Bytes), plural(u.Parts, "part"), printable(u.Key), u.ID, u.said())
	}
	if len(found) == 0 {
		fmt.Fprintln(w, "no unfinished uploads")
	}
	return w.Flush()
}

// said is who owns an upload, or what became of it.
func (u *uploadStatus) said() string {
	switch {
	case u.Aborted:
		return "aborted"
	case u.Error != "":
		return "not aborted: " + oneLine(u.Error)
	case u.Owner != "":
		return u.Owner
	case u.Orphan:
		return "orphan"
	}
	return "nobody here knows it; too young to be an orphan"
}

// uploads lets the mount list, and abort orphans.
func (c *client) uploads(ctx context.Context, o sweep) ([]uploadStatus, error) {
	var a uploadsAnswer
	if err := c.call(ctx, "POST", "/uploads", o, &a); err != nil {
		return nil, goneProblem(c.rec, err)
	}
	return a.Uploads, a.problem()
}
