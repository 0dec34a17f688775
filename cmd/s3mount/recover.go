package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

type recoverCmd struct {
	Dir string `arg:"" placeholder:"DIR" help:"Directory of a journal: the cache directory of a mount, or the one in it that is named after the bucket."`
	To  string `placeholder:"OUT" help:"Write the files below this directory."`

	JSON bool `name:"json" help:"Print JSON."`
}

func (recoverCmd) Help() string {
	return `Lists the files that were closed in a mount and are not in the bucket yet, with neither
the mount nor the bucket. With --to they are written below OUT under their keys, with their
times and modes; nothing is ever overwritten. The journal stays as it is: the next mount
publishes them all the same.

Exit code 1: bytes of a file are in the bucket only, or were damaged, or a file could not
be written.

Examples:
  s3mount recover ~/.cache/s3mount
  s3mount recover ~/.cache/s3mount/footage-0123456789ab --to /tmp/rescued`
}

// unpublished is one file of a journal: its newest version and those it builds on.
type unpublished struct {
	Key     string      `json:"key"`
	Size    int64       `json:"size"` // bytes
	Mtime   time.Time   `json:"mtime"`
	State   string      `json:"state"`               // "whole", "needs the bucket", "damaged"
	Missing []byteRange `json:"in_bucket,omitempty"` // bytes that are in the bucket only
	Error   string      `json:"error,omitempty"`
	Written string      `json:"written,omitempty"` // where --to put it

	line []*journal.Record // newest first
}

// byteRange is [From, To).
type byteRange struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

const (
	stateWhole   = "whole"
	stateBucket  = "needs the bucket"
	stateDamaged = "damaged"
)

func (c recoverCmd) Run(std streams) error {
	dirs, err := journalDirs(c.Dir)
	if err != nil {
		return err
	}
	all, failed := []unpublished{}, false
	for _, dir := range dirs {
		files, err := c.one(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			failed = failed || f.State != stateWhole || f.Error != ""
		}
		all = append(all, files...)
	}
	if c.JSON {
		enc := json.NewEncoder(std.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(all)
	} else {
		err = printUnpublished(std, all)
	}
	if err == nil && failed {
		err = &exitError{1}
	}
	return err
}

// journalDirs is the journals in a directory, which may be one itself.
func journalDirs(dir string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(dir, "identity.json")); err == nil {
		return []string{dir}, nil
	}
	found, err := filepath.Glob(filepath.Join(globQuoted(dir), "*", "identity.json"))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &problem{cause: dir + " holds no journal", remedy: "name the --cache-dir of a mount, or a directory in it"}
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found, nil
}

func globQuoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// one lists the files of a journal, and writes them where that was asked for.
func (c recoverCmd) one(dir string) ([]unpublished, error) {
	r, err := journal.OpenReadOnly(dir)
	switch {
	case errors.Is(err, journal.ErrLocked):
		return nil, &problem{cause: "a mount uses " + dir, remedy: "use that mount, or unmount it first", err: err}
	case err != nil:
		return nil, err
	}
	defer r.Close()
	records, err := r.Records()
	if err != nil {
		return nil, err
	}
	files := unpublishedFiles(records)
	for i := range files {
		f := &files[i]
		f.examine(r)
		if c.To == "" || f.State != stateWhole {
			continue
		}
		if f.Written, err = f.export(r, c.To); err != nil {
			f.Error = oneLine(err.Error())
		}
	}
	return files, nil
}

// unpublishedFiles makes one entry of each file's records.
func unpublishedFiles(records []journal.Record) []unpublished {
	byID, below := map[string]*journal.Record{}, map[string]bool{}
	for i := range records {
		if r := &records[i]; !r.Open && !r.NoContent {
			byID[r.ID], below[r.BaseID] = r, true
		}
	}
	var out []unpublished
	for i := range records {
		r := &records[i]
		if byID[r.ID] == nil || below[r.ID] {
			continue
		}
		f := unpublished{Key: r.Key, Mtime: time.Unix(0, r.Meta.MtimeNS), State: stateWhole}
		for x := r; x != nil; x = byID[x.BaseID] {
			f.line = append(f.line, x)
		}
		if n := len(r.Extents); n > 0 {
			f.Size = r.Extents[n-1].End()
		}
		out = append(out, f)
	}
	return out
}

// examine finds out whether all bytes are here, and whole.
func (f *unpublished) examine(r *journal.ReadOnly) {
	var used []*journal.Record
	err := f.walk(0, 0, f.Size, func(rec *journal.Record, x plan.Extent) error {
		if rec == nil {
			f.Missing = append(f.Missing, byteRange{x.Off, x.End()})
		} else if !slices.Contains(used, rec) {
			used = append(used, rec)
		}
		return nil
	})
	if len(f.Missing) > 0 {
		f.State = stateBucket
	}
	for _, rec := range used {
		err = errors.Join(err, r.Verify(rec))
	}
	if err != nil {
		f.State, f.Error = stateDamaged, oneLine(err.Error())
	}
}

// walk calls do for each run of bytes of [off, off+n) in the version that many
// below the newest: with the record whose spool file has them, or with no record
// for those of the bucket. It leaves holes out.
func (f *unpublished) walk(version int, off, n int64, do func(rec *journal.Record, x plan.Extent) error) error {
	rec := f.line[version]
	ext, err := plan.FromList(rec.Extents)
	if err != nil {
		return err
	}
	for _, x := range ext.Range(off, n) {
		switch {
		case x.Kind == plan.Hole:
		case x.Kind == plan.Data:
			err = do(rec, x)
		case rec.Base == nil && version+1 < len(f.line):
			err = f.walk(version+1, x.Off, x.Len, do)
		default:
			err = do(nil, x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// export writes the file below a directory, and returns its path.
func (f *unpublished) export(r *journal.ReadOnly, to string) (path string, err error) {
	name := filepath.FromSlash(f.Key)
	if !filepath.IsLocal(name) || filepath.Clean(name) != name {
		return "", errors.New("its key is no name for a file")
	}
	root, err := os.OpenRoot(to) // nothing leaves it, through links neither
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(to, 0o755); err == nil {
			root, err = os.OpenRoot(to)
		}
	}
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", err
	}
	meta, path := f.line[0].Meta, filepath.Join(to, name)
	if meta.Mode&0o170000 == 0o120000 { // S_IFLNK of stat(2)
		return path, f.exportLink(r, root, name)
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	err = f.copyTo(r, out)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return "", errors.Join(err, root.Remove(name))
	}
	return path, errors.Join(root.Chmod(name, fs.FileMode(meta.Mode&0o777)), root.Chtimes(name, f.Mtime, f.Mtime))
}

func (f *unpublished) copyTo(r *journal.ReadOnly, out *os.File) error {
	if err := out.Truncate(f.Size); err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	return f.walk(0, 0, f.Size, func(rec *journal.Record, x plan.Extent) error {
		in, err := os.Open(r.SpoolPath(rec.ID))
		if err != nil {
			return err
		}
		defer in.Close()
		for off := x.Off; off < x.End(); {
			k := min(int64(len(buf)), x.End()-off)
			if _, err := in.ReadAt(buf[:k], off); err != nil {
				return err
			}
			if _, err := out.WriteAt(buf[:k], off); err != nil {
				return err
			}
			off += k
		}
		return nil
	})
}

// exportLink makes a symbolic link: the bytes are its target.
func (f *unpublished) exportLink(r *journal.ReadOnly, root *os.Root, name string) error {
	target := make([]byte, f.Size)
	err := f.walk(0, 0, f.Size, func(rec *journal.Record, x plan.Extent) error {
		in, err := os.Open(r.SpoolPath(rec.ID))
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = in.ReadAt(target[x.Off:x.End()], x.Off)
		return err
	})
	if err != nil {
		return err
	}
	return root.Symlink(string(target), name)
}

func printUnpublished(std streams, files []unpublished) error {
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, f := range files {
		state := f.State
		switch {
		case f.Written != "":
			state = "written to " + printable(f.Written)
		case f.Error != "" && f.State == stateWhole:
			state = "not written"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Mtime.Local().Format(time.DateTime), humanize.IBytes(uint64(f.Size)), state, printable(f.Key))
	}
	if len(files) == 0 {
		fmt.Fprintln(w, "everything is in the bucket")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range files {
		switch {
		case f.Error != "":
			fmt.Fprintf(std.err, "s3mount: %s: %s\n", printable(f.Key), f.Error)
		case f.State == stateBucket:
			fmt.Fprintf(std.err, "s3mount: %s: only the bucket has %s; mount it again to publish the file\n", printable(f.Key), describeRanges(f.Missing))
		}
	}
	return nil
}

// describeRanges names at most three ranges of bytes.
func describeRanges(list []byteRange) string {
	var parts []string
	for i, r := range list {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("%d more ranges", len(list)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("bytes %d to %d", r.From, r.To-1))
	}
	return strings.Join(parts, ", ")
}
