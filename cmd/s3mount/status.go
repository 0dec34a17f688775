package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

type statusCmd struct {
	Mountpoint string `arg:"" optional:"" help:"Mountpoint, or a path in it. Default: all mounts of this user."`
	JSON       bool   `name:"json" help:"Print JSON: a list with one entry for each mount."`
}

func (c statusCmd) Run(ctx context.Context, std streams) error {
	mounts, err := runningMounts(c.Mountpoint)
	if err != nil {
		return err
	}
	all := []mountStatus{}
	for _, rec := range mounts {
		st, err := newClient(rec).status(ctx, "", false)
		if errors.Is(err, errGone) && c.Mountpoint == "" {
			continue // it ended between the two questions
		}
		if err != nil {
			return goneProblem(rec, err)
		}
		all = append(all, st)
	}
	return printMounts(std, c.JSON, all, printStatus)
}

// printMounts prints what mounts said, one after the other, or as one list in JSON.
func printMounts[T any](std streams, asJSON bool, all []T, show func(io.Writer, T) error) error {
	if asJSON {
		enc := json.NewEncoder(std.out)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(std.out, "nothing is mounted")
	}
	for _, st := range all {
		if err := show(std.out, st); err != nil {
			return err
		}
	}
	return nil
}

// maxShown is how many files are printed; --json has all.
const maxShown = 50

func printStatus(out io.Writer, st mountStatus) error {
	fmt.Fprintf(out, "%s  %s  %s  pid %d\n", st.Mountpoint, target{st.Bucket, st.Prefix}, st.State, st.PID)
	if st.OfflineSince != nil {
		fmt.Fprintf(out, "  no answer from the server since %s: writes go on into the cache directory\n", st.OfflineSince.Local().Format(time.DateTime))
	}
	fmt.Fprintf(out, "  cache: %s of %s in use\n", bytesText(st.SpoolUsed), bytesText(st.SpoolLimit))
	if len(st.Files) == 0 {
		fmt.Fprintln(out, "  everything is in the bucket")
		return nil
	}
	fmt.Fprintf(out, "  %s, %s to send%s\n", notYet(st.FilesLeft), bytesText(st.BytesLeft), speedText(st.totals))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, f := range st.Files {
		if i == maxShown {
			fmt.Fprintf(w, "  and %d more\n", len(st.Files)-i)
			break
		}
		fmt.Fprintf(w, "  %s\t%s of %s\t%s\t%s\t%s\n", f.State, bytesText(f.BytesDone), bytesText(f.BytesTotal), partsText(f), printable(f.Path), f.trouble())
	}
	return w.Flush()
}

func partsText(f PendingFile) string {
	if f.PartsTotal == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d parts", f.PartsDone, f.PartsTotal)
}

// trouble is what is wrong with a file, what to do, and when it is tried again.
func (f *PendingFile) trouble() string {
	if f.Error == "" && f.Overflowed {
		return "larger than the spool: its close waits until it is in the bucket"
	}
	if f.Error == "" {
		return ""
	}
	text := oneLine(f.Error)
	if f.Remedy != "" {
		text += ": " + f.Remedy
	}
	if f.NextTry != nil {
		text += "; next try at " + f.NextTry.Local().Format(time.TimeOnly)
	}
	return text
}

// printable shows a name without letting it steer the terminal.
func printable(name string) string {
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return fmt.Sprintf("%q", name)
		}
	}
	return name
}

// runningMounts is the mount that a path is in, or all mounts without one.
func runningMounts(path string) ([]record, error) {
	reg, err := openRegistry(registryDir(os.Getuid()))
	if err != nil {
		return nil, err
	}
	if path == "" {
		return reg.list()
	}
	rec, _, err := reg.find(path)
	return []record{rec}, err
}

// goneProblem is a mount whose process does not answer any more.
func goneProblem(rec record, err error) error {
	if !errors.Is(err, errGone) {
		return err
	}
	return &problem{
		cause:  "the process of the mount at " + rec.Mountpoint + " has ended without a word",
		remedy: "mount again: files that were closed are in the cache directory " + rec.CacheDir + " and go on",
		err:    err,
	}
}
