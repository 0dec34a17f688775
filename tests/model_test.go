//go:build linux

package tests

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
		m := &model{T: t, rng: rand.New(rand.NewPCG(seed, 1)), mount: newMount(t, s), local: t.TempDir(), began: time.Now().Add(-time.Minute)}
		t.Cleanup(func() {
			m.closeAll() // before the mount ends
			if t.Failed() {
				t.Logf("the last operations:\n%s", strings.Join(m.trace[max(0, len(m.trace)-traceLines()):], "\n"))
			}
		})
		for range steps {
			m.step()
			if t.Failed() {
				t.FailNow()
			}
		}
		m.finish()
	})
}

// traceLines is how many operations a failure shows; TRACE asks for more.
func traceLines() int {
	if n, err := strconv.Atoi(os.Getenv("TRACE")); err == nil {
		return n
	}
	return 25
}

// model is the state of a run: the two trees and the files open in both.
type model struct {
	*testing.T
	rng   *rand.Rand
	mount *mount
	local string
	open  []*pair
	trace []string
	began time.Time // earlier times were set explicitly; before the first operation by more than a tick of the kernel's clock
}

// pair is one file, open in the mount and in the local directory.
type pair struct {
	name        string // where it is; where it was, once it is gone
	gone        bool   // no name leads to it any more
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
		{3, m.symlink}, {4, m.chmod}, {2, m.chown}, {4, m.utimes}, {5, m.xattr}, {6, m.list}, {6, m.stat}, {2, m.exclusive},
		{4, m.copyRange}, {5, m.mapped}, {4, m.seek}, {1, m.remount}, {1, m.crash},
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
	if local != nil {
		m.trace[len(m.trace)-1] += ": " + errnoOf(local).Error()
	}
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
		} else if strings.Contains(want, "sha256") {
			m.compareTimes(p)
		}
	}
	for p, got := range real {
		if local[p] == "" && !m.isGhost(p) {
			m.Errorf("%s: %s, want nothing", p, got)
		}
	}
}

// isGhost tells whether the mount shows a directory only because the server lists it, which has
// no key there: for good, or for the moment of a deletion, which a listing is believed for.
func (m *model) isGhost(p string) bool {
	m.Helper()
	for deadline := time.Now().Add(patient(20 * time.Second)); time.Now().Before(deadline); time.Sleep(time.Second) {
		keys, err := m.mount.srv.list(m.mount.bucket, p)
		_, file := keys[p]
		if err != nil || file || slices.ContainsFunc(slices.Collect(maps.Keys(keys)), func(key string) bool { return strings.HasPrefix(key, p+"/") }) {
			m.Logf("%s: the server has %v (%v)", p, keys, err)
			return false
		}
		hollow, err := m.mount.srv.isHollow(m.mount.bucket, p+"/")
		if err != nil {
			m.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(m.mount.dir, p)); hollow || errors.Is(err, os.ErrNotExist) {
			m.Logf("%s: the server lists it, or did, and no key below it", p)
			return true
		}
	}
	return false
}

func (m *model) compareTimes(p string) {
	m.Helper()
	real, err1 := os.Lstat(filepath.Join(m.mount.dir, p))
	local, err2 := os.Lstat(filepath.Join(m.local, p))
	if err := firstOf(err1, err2); err != nil {
		m.Fatal(err)
	}
	if !m.sameTime(real.ModTime(), local.ModTime()) {
		m.Errorf("%s: mtime %v, want %v", p, real.ModTime(), local.ModTime())
	}
}

func (m *model) walk(root string) map[string]string {
	m.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root || ofGateway(path) {
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

// finish compares the objects with the local files, then the trees through a mount
// that remembers nothing.
func (m *model) finish() {
	m.closeAll()
	if r := run(m.T, m.mount.srv.environ(m.T), patient(2*time.Minute), "wait", m.mount.dir); r.code != 0 {
		m.Errorf("wait: exit %d: %s", r.code, r.stderr)
	}
	m.compareObjects()
	m.mount.remountCold()
	m.compare()
}

// compareObjects looks into the bucket with another client.
func (m *model) compareObjects() {
	m.Helper()
	keys, err := m.mount.srv.list(m.mount.bucket, "")
	if err != nil {
		m.Fatal(err)
	}
	for p := range m.walk(m.local) {
		st, err := os.Lstat(filepath.Join(m.local, p))
		if err != nil {
			m.Fatal(err)
		}
		_, there := keys[p]
		delete(keys, p)
		delete(keys, p+"/")
		if !st.Mode().IsRegular() {
			continue
		}
		if !there {
			m.Errorf("object %s: none", p)
			continue
		}
		_, sum, err := m.mount.srv.sha256(m.mount.bucket, p)
		if want := fileSum(m.T, filepath.Join(m.local, p)); err != nil || sum != want {
			m.Errorf("object %s: sha256 %s, %v; want %s", p, sum, err, want)
		}
		m.compareHead(p, st)
	}
	for key := range keys {
		if !ofGateway(key) {
			m.Errorf("object %s: want none", key)
		}
	}
}

// ofGateway tells whether a name is a temporary file of the embedded server, which
// lists them while, and sometimes after, a request breaks off.
func ofGateway(name string) bool { return strings.Contains(name, ".sgwtmp.") }

// compareHead checks mode, owner and time of an object.
func (m *model) compareHead(p string, st os.FileInfo) {
	m.Helper()
	h, err := m.mount.srv.head(m.mount.bucket, p)
	if err != nil {
		m.Errorf("object %s: %v", p, err)
		return
	}
	sys := st.Sys().(*syscall.Stat_t)
	for name, want := range map[string]uint32{"mode": sys.Mode, "uid": sys.Uid, "gid": sys.Gid} {
		if got := h.Get("X-Amz-Meta-" + name); got != strconv.FormatUint(uint64(want), 10) {
			m.Errorf("object %s: %s %s, want %d", p, name, got, want)
		}
	}
	sec, frac, _ := strings.Cut(h.Get("X-Amz-Meta-Mtime"), ".")
	s, err1 := strconv.ParseInt(sec, 10, 64)
	ns, err2 := strconv.ParseInt(frac, 10, 64)
	if got := time.Unix(s, ns); firstOf(err1, err2) != nil || !m.sameTime(got, st.ModTime()) {
		m.Errorf("object %s: mtime %s.%s, want %v", p, sec, frac, st.ModTime())
	}
}

// sameTime compares a modification time with that of the local file. Times that were
// set explicitly lie before the test began, and are equal to the nanosecond; those of
// writes are about now.
func (m *model) sameTime(real, local time.Time) bool {
	if local.Before(m.began) {
		return real.Equal(local)
	}
	return !real.Before(m.began)
}
