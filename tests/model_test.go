//go:build linux

package tests

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestModel does random operations on the mount and on a local directory, and
// wants the same answers, the same tree and, at the end, the same objects.
func TestModel(t *testing.T) {
	steps := 400
	if long() {
		steps = 6000
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	onServers(t, func(t *testing.T, s *server) {
		t.Logf("repeat with SEED=%d", seed)
		m := &model{T: t, rng: rand.New(rand.NewPCG(seed, 1)), mount: newMount(t, s), local: t.TempDir()}
		for range steps {
			m.step()
			if t.Failed() {
				t.Fatalf("the last operations:\n%s", strings.Join(m.trace[max(0, len(m.trace)-25):], "\n"))
			}
		}
		m.finish()
	})
}

// model is the state of a run: the two trees and the files open in both.
type model struct {
	*testing.T
	rng   *rand.Rand
	mount *mount
	local string
	open  []pair
	trace []string
}

// pair is one file, open in the mount and in the local directory.
type pair struct {
	name        string
	real, local *os.File
	reads       bool
	writes      bool
}

func (m *model) step() {
	ops := []struct {
		weight int
		do     func()
	}{
		{12, m.writeFile}, {12, m.readFile}, {10, m.patchFile}, {6, m.appendFile}, {5, m.truncate},
		{8, m.openFile}, {16, m.useFile}, {6, m.closeFile}, {8, m.rename}, {6, m.unlink}, {5, m.mkdir}, {4, m.rmdir},
		{3, m.symlink}, {4, m.chmod}, {4, m.utimes}, {5, m.xattr}, {6, m.list}, {6, m.stat}, {2, m.exclusive}, {1, m.remount},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	n := m.rng.IntN(total)
	for _, op := range ops {
		if n -= op.weight; n < 0 {
			op.do()
			return
		}
	}
}

// both runs one operation on both trees and compares the errors.
func (m *model) both(what string, f func(root string) error) bool {
	m.trace = append(m.trace, what)
	real, local := f(m.mount.dir), f(m.local)
	if errnoOf(real) != errnoOf(local) {
		m.Errorf("%s: %v, on a local disk %v", what, real, local)
	}
	return local == nil
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &errno):
		return syscall.EIO
	case errno == syscall.EEXIST:
		return syscall.ENOTEMPTY // POSIX lets rename and rmdir give either
	}
	return errno
}

// firstOf returns the first error that is one.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

var (
	someDirs  = []string{"", "a", "b", "a/deep", "b/deep"}
	someNames = []string{"one", "two", "three", "four five", "ö"}
)

func (m *model) dir() string { return someDirs[m.rng.IntN(len(someDirs))] }
func (m *model) path() string {
	return filepath.Join(m.dir(), someNames[m.rng.IntN(len(someNames))])
}

// data is mostly small, and now and then enough for a multipart upload.
func (m *model) data() []byte {
	n := m.rng.IntN(100_000)
	switch m.rng.IntN(20) {
	case 0:
		n = 6<<20 + m.rng.IntN(14<<20)
	case 1:
		n = 0
	}
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(m.rng.Uint32()), byte(m.rng.Uint32())}).Read(b)
	return b
}

func (m *model) offset() int64 {
	if m.rng.IntN(10) == 0 {
		return m.rng.Int64N(20 << 20)
	}
	return m.rng.Int64N(150_000)
}

// compare walks both trees.
func (m *model) compare() {
	m.Helper()
	real, local := m.walk(m.mount.dir), m.walk(m.local)
	for p, want := range local {
		if real[p] != want {
			m.Errorf("%s: %s, want %s", p, real[p], want)
		}
	}
	for p, got := range real {
		if local[p] == "" {
			m.Errorf("%s: %s, want nothing", p, got)
		}
	}
}

func (m *model) walk(root string) map[string]string {
	m.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		text := describe(st)
		switch {
		case st.Mode().IsRegular():
			text += " sha256 " + fileSum(m.T, path)
		case st.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " to " + target
		}
		rel, err := filepath.Rel(root, path)
		out[rel] = text
		return err
	})
	if err != nil {
		m.Fatalf("walk of %s: %v", root, err)
	}
	return out
}

// finish compares the trees through a mount that remembers nothing, and the
// objects with the local files.
func (m *model) finish() {
	for len(m.open) > 0 {
		m.closeFile()
	}
	m.mount.remountCold()
	m.compare()
	for p, text := range m.walk(m.local) {
		if !strings.Contains(text, "sha256") {
			continue
		}
		_, sum, err := m.mount.srv.sha256(m.mount.bucket, p)
		if err != nil || !strings.HasSuffix(text, sum) {
			m.Errorf("object %s: sha256 %s, %v; want %s", p, sum, err, text)
		}
	}
}
