package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// leftBehind makes a journal as a mount leaves it: each record's data extents are
// written with letters of its ID.
func leftBehind(t *testing.T, records ...journal.Record) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "bucket-0123")
	j := openLeft(t, dir)
	for i := range records {
		r := &records[i]
		if r.HasData() {
			f, err := j.Spool.Create(r.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range r.Extents {
				if x.Kind == plan.Data {
					if err := f.Reserve(x.Len); err != nil {
						t.Fatal(err)
					}
					if _, err := f.WriteAt(bytes.Repeat([]byte(r.ID), int(x.Len)), x.Off); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			f.Unref()
		}
		if err := j.Apply([]journal.Record{*r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openLeft(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: dir, AllowVolatile: true, SpoolLimit: 1 << 30, Identity: journal.Identity{Bucket: "bucket"}})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func extents(kinds string) []plan.Extent {
	var e plan.Extents
	for i, k := range kinds {
		e.Set(int64(i), 1, map[rune]plan.Kind{'d': plan.Data, 'b': plan.Base, 'h': plan.Hole}[k])
	}
	return e.List()
}

var recoverTime = time.Unix(1_700_000_000, 123_000_000)

func leftFile(id, key, kinds string) journal.Record {
	return journal.Record{
		ID: id, Seq: uint64(id[0]), Key: key, Extents: extents(kinds),
		Meta: journal.Meta{Mode: 0o100640, MtimeNS: recoverTime.UnixNano()},
	}
}

func runRecover(args ...string) (code int, out, errors string) {
	var o, e bytes.Buffer
	code = run(context.Background(), append([]string{"recover"}, args...), &o, &e)
	return code, o.String(), e.String()
}

func TestRecoverWritesWhatIsWhole(t *testing.T) {
	second := leftFile("b", "day/clip.mov", "bdb")
	second.BaseID = "a"
	link := leftFile("c", "link", "ddd")
	link.Meta.Mode = 0o120777
	open := leftFile("o", "never closed", "d")
	open.Open = true
	dir := leftBehind(t, leftFile("a", "day/clip.mov", "dhd"), second, link, leftFile("e", "empty", ""), open,
		journal.Record{ID: "x", NoContent: true, Delete: []journal.Object{{Key: "gone"}}})
	before := readAll(t, dir)

	code, out, errs := runRecover(dir)
	if code != 0 || strings.Count(out, "whole") != 3 || errs != "" {
		t.Errorf("list: exit %d\n%s%s", code, out, errs)
	}
	to := filepath.Join(t.TempDir(), "out")
	code, out, errs = runRecover(dir, "--to", to)
	if code != 0 || strings.Count(out, "written to") != 3 || errs != "" {
		t.Errorf("export: exit %d\n%s%s", code, out, errs)
	}
	clip := filepath.Join(to, "day", "clip.mov")
	if got, err := os.ReadFile(clip); string(got) != "aba" || err != nil {
		t.Errorf("clip %q, %v; want aba", got, err)
	}
	info, err := os.Stat(clip)
	if err != nil || info.Mode().Perm() != 0o640 || !info.ModTime().Equal(recoverTime) {
		t.Errorf("clip: %v, %v", info, err)
	}
	if target, err := os.Readlink(filepath.Join(to, "link")); target != "ccc" || err != nil {
		t.Errorf("link to %q, %v", target, err)
	}
	if got := readAll(t, dir); got != before {
		t.Error("the journal has changed")
	}

	code, _, errs = runRecover(filepath.Dir(dir), "--to", to) // again, by the cache directory
	if got, _ := os.ReadFile(clip); code != 1 || !strings.Contains(errs, "exists") || string(got) != "aba" {
		t.Errorf("over what is there: exit %d, %s", code, errs)
	}
}

// readAll is every file below a directory and its bytes, but for the database,
// whose records are compared.
func readAll(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		out.WriteString(path + "\n")
		out.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRecoverSaysWhatIsMissing(t *testing.T) {
	edit := leftFile("a", "edit", "bbd")
	edit.Base = &journal.Object{Key: "edit", ETag: "e", Size: 2}
	damaged := leftFile("b", "damaged", "ddd")
	damaged.Sums = &journal.Sums{CRC64NVME: make([]byte, 8)}
	dir := leftBehind(t, edit, damaged, leftFile("c", "good", "d"))
	to := t.TempDir()
	code, out, errs := runRecover(dir, "--to", to)
	if code != 1 || !strings.Contains(out, "needs the bucket") || !strings.Contains(out, "damaged") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if !strings.Contains(errs, "only the bucket has bytes 0 to 1") {
		t.Errorf("stderr:\n%s", errs)
	}
	if list, err := os.ReadDir(to); len(list) != 1 || list[0].Name() != "good" || err != nil {
		t.Errorf("written: %v, %v", list, err)
	}
}

func TestRecoverStaysInside(t *testing.T) {
	dir := leftBehind(t, leftFile("a", "../up", "d"), leftFile("b", "/root", "d"), leftFile("c", "x//y", "d"),
		leftFile("e", "trap/file", "d"), leftFile("f", "a/../../up", "d"))
	to, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(to, "trap")); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runRecover(dir, "--to", to)
	if code != 1 || strings.Count(errs, "\n") != 5 || strings.Contains(out, "written to") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	for _, d := range []string{outside, filepath.Dir(to)} {
		for _, name := range []string{"file", "up"} {
			if _, err := os.Lstat(filepath.Join(d, name)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s/%s: %v", d, name, err)
			}
		}
	}
}

func TestRecoverRefusesAJournalInUse(t *testing.T) {
	dir := leftBehind(t, leftFile("a", "k", "d"))
	j := openLeft(t, dir)
	defer j.Close()
	if code, _, errs := runRecover(dir); code != 1 || !strings.Contains(errs, "a mount uses "+dir) {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs := runRecover(t.TempDir()); code != 1 || !strings.Contains(errs, "holds no journal") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
