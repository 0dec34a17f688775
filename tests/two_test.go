//go:build linux

package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// twoMounts are two machines on one bucket. What one has done is in the bucket when done
// returns, and the other shows it after the time that is promised.
type twoMounts struct {
	*testing.T
	a, b *mount
}

const (
	twoTTL = 300 * time.Millisecond
	// twoPromise is the TTL, and the time for which the kernel believes that a name does
	// not exist.
	twoPromise = twoTTL + time.Second
)

func onTwoMounts(t *testing.T, f func(x *twoMounts)) {
	onServers(t, func(t *testing.T, s *server) {
		a := newMount(t, s, "--list-ttl", twoTTL.String())
		f(&twoMounts{T: t, a: a, b: mountBucket(t, s, a.bucket, "--list-ttl", twoTTL.String())})
	})
}

// done lets the time pass that the other mount may need, while somebody looks there.
func (x *twoMounts) done(by, other *mount) {
	x.Helper()
	by.succeed("wait", by.dir)
	for deadline := time.Now().Add(twoPromise); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		_, _ = look(other.dir)
	}
}

// look is all that a tree shows: names, and of files and links all else too.
func look(root string) (map[string]string, error) {
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		switch info.Mode().Type() {
		case fs.ModeDir:
			all[name] = "directory"
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			all[name] = fmt.Sprint("link to ", to, err)
		default:
			data, err := os.ReadFile(path)
			all[name] = fmt.Sprintf("%v %v %s %v", info.Mode(), info.ModTime(), data, err)
		}
		return nil
	})
	return all, err
}

func (x *twoMounts) same(what string, by, other *mount) {
	x.Helper()
	want, err := look(by.dir)
	if err != nil {
		x.Fatalf("%s: %v", what, err)
	}
	got, err := look(other.dir)
	if err != nil {
		x.Errorf("%s: the other mount: %v", what, err)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			x.Errorf("%s: %s is %.120q on the other mount, want %.120q", what, name, got[name], want[name])
		}
		delete(got, name)
	}
	if len(got) > 0 {
		x.Errorf("%s: the other mount shows %v", what, slices.Sorted(maps.Keys(got)))
	}
}

// TestTwoMountsSeeEachOther changes names and bytes on one of two mounts in turns.
func TestTwoMountsSeeEachOther(t *testing.T) {
	onTwoMounts(t, func(x *twoMounts) {
		by, other := x.a, x.b
		meta := "chmod 600 d/f1"
		if x.a.srv.name == "embedded" {
			meta = "" // versitygw gives an object that is copied onto itself no other date
		}
		for _, round := range []struct{ name, line string }{
			{"create", "echo one > file; mkdir -p d/sub; for i in 1 2 3; do echo $i > d/f$i; done; echo deep > d/sub/deep; ln -s file link; mkdir empty; touch -d @1500000000.5 d/f1; echo gone > gone"},
			{"overwrite", "echo another > file; echo more >> d/f2; echo whole > tmp; mv tmp d/f3; truncate -s 3 d/sub/deep; $META; ln -sfn d/f1 link; rm gone; mkdir gone"},
			{"rename", "mv file moved; mv d/f1 d/f9; mv d e; mv empty full; echo x > full/x; echo again > file"},
			{"delete", "rm moved e/f2 link; rm -r e/sub full; rmdir gone"},
		} {
			shell(x.T, "cd "+by.dir+"; META='"+meta+"'; "+round.line)
			x.done(by, other)
			x.same(round.name, by, other)
			by, other = other, by
		}
		if got, err := look(x.a.dir); err != nil || len(got) != 5 {
			x.Errorf("at the end there are %v, %v", got, err) // the root, e, e/f3, e/f9, file
		}
	})
}

// TestTwoMountsDoNotMixVersions has files open on one mount while the other replaces,
// renames and deletes them.
func TestTwoMountsDoNotMixVersions(t *testing.T) {
	const size = 3 << 20
	onTwoMounts(t, func(x *twoMounts) {
		names := []string{"replaced", "edited", "renamed", "deleted"}
		for _, name := range names {
			write(x.T, x.a.path(name), bytes.Repeat([]byte("1"), size))
		}
		x.a.succeed("wait", x.a.dir)
		x.b.remountCold()
		files := map[string]*os.File{}
		buf := make([]byte, size)
		for _, name := range names {
			files[name] = open(x.T, x.b.path(name), os.O_RDONLY)
			if _, err := files[name].ReadAt(buf[:1000], 0); err != nil {
				x.Fatal(err)
			}
		}
		write(x.T, x.a.path("replaced"), bytes.Repeat([]byte("2"), size))
		f := open(x.T, x.a.path("edited"), os.O_WRONLY)
		if _, err := f.WriteAt(bytes.Repeat([]byte("2"), 1<<20), 1<<20); err != nil {
			x.Fatal(err)
		}
		if err := firstOf(f.Close(), os.Rename(x.a.path("renamed"), x.a.path("elsewhere")), os.Remove(x.a.path("deleted"))); err != nil {
			x.Fatal(err)
		}
		x.done(x.a, x.b)
		for _, name := range names {
			n, err := files[name].ReadAt(buf, 0)
			if err != nil && !errors.Is(err, syscall.ESTALE) {
				x.Errorf("%s: %v", name, err)
			}
			if ones := bytes.Count(buf[:n], []byte("1")); ones != n {
				x.Errorf("%s: %d of %d bytes are of the version that was opened", name, ones, n)
			}
		}
		x.same("afterwards", x.a, x.b)
	})
}

// TestTwoMountsKeepBoth writes files on two mounts that do not know of each other's
// version.
func TestTwoMountsKeepBoth(t *testing.T) {
	onTwoMounts(t, func(x *twoMounts) {
		files := map[string]*os.File{}
		for _, name := range []string{"both.txt", "gone.txt", "moved.txt"} {
			write(x.T, x.a.path(name), []byte("old"))
		}
		x.a.succeed("wait", x.a.dir)
		for _, name := range []string{"both.txt", "gone.txt", "moved.txt"} {
			files[name] = open(x.T, x.b.path(name), os.O_WRONLY|os.O_TRUNC)
			if _, err := files[name].WriteString("written by b"); err != nil {
				x.Fatal(err)
			}
		}
		write(x.T, x.a.path("both.txt"), []byte("written by a"))
		if err := firstOf(os.Remove(x.a.path("gone.txt")), os.Rename(x.a.path("moved.txt"), x.a.path("there.txt"))); err != nil {
			x.Fatal(err)
		}
		x.a.succeed("wait", x.a.dir)
		for name, f := range files {
			if err := f.Close(); err != nil {
				x.Errorf("close of %s: %v", name, err)
			}
		}
		x.done(x.b, x.a)
		x.same("both versions", x.b, x.a)
		var got []string
		keys, err := x.a.srv.list(x.a.bucket, "")
		if err != nil {
			x.Fatal(err)
		}
		for key := range keys {
			body, err := x.a.srv.get(x.a.bucket, key)
			if err != nil {
				x.Fatal(err)
			}
			name, _, conflict := strings.Cut(key, " (conflict ")
			got = append(got, fmt.Sprint(name, " ", conflict, ": ", string(body)))
		}
		slices.Sort(got)
		want := []string{"both true: written by a", "both.txt false: written by b", "gone.txt false: written by b", "moved.txt false: written by b", "there.txt false: old"}
		if !slices.Equal(got, want) {
			x.Errorf("the bucket has %q, want %q", got, want)
		}
	})
}
