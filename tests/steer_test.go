//go:build linux

package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// statusOf is the part of `status --json` that the tests look at.
type statusOf struct {
	State     string `json:"state"`
	FilesLeft int    `json:"files_left"`
	BytesLeft int64  `json:"bytes_left"`
	SpoolUsed int64  `json:"spool_used"`
	Files     []struct {
		Path       string     `json:"path"`
		Key        string     `json:"key"`
		State      string     `json:"state"`
		Open       bool       `json:"open"`
		Overflowed bool       `json:"overflowed"`
		BytesTotal int64      `json:"bytes_total"`
		BytesDone  int64      `json:"bytes_done"`
		PartsTotal int        `json:"parts_total"`
		PartsDone  int        `json:"parts_done"`
		Error      string     `json:"error"`
		Remedy     string     `json:"remedy"`
		NextTry    *time.Time `json:"next_try"`
	} `json:"files"`
}

func (m *mount) status() statusOf {
	m.t.Helper()
	r := m.command("status", "--json", m.dir)
	var all []statusOf
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || len(all) != 1 || r.code != 0 {
		m.t.Fatalf("status: exit %d, %v, %s%s", r.code, err, r.stdout, r.stderr)
	}
	return all[0]
}

// command runs one of the commands that speak with the mount.
func (m *mount) command(args ...string) result {
	m.t.Helper()
	return run(m.t, m.srv.environ(m.t), patient(time.Minute), args...)
}

// want checks the exit code, and what is said: one line on stderr for a failure.
func (m *mount) want(code int, said string, args ...string) result {
	m.t.Helper()
	r := m.command(args...)
	text := r.stdout
	if code != 0 {
		lines := strings.Split(strings.TrimRight(r.stderr, "\n"), "\n")
		text = lines[len(lines)-1]
	}
	if r.code != code || !regexp.MustCompile(said).MatchString(text) {
		m.t.Errorf("s3mount %s: exit %d, stdout %q, stderr %q; want exit %d and %q", strings.Join(args, " "), r.code, r.stdout, r.stderr, code, said)
	}
	return r
}

func copyIn(t *testing.T, dst string, size int) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i >> 12)
	}
	write(t, dst, data)
}

// TestWaitIsTrue: exit 0 means that the bucket has it, by whatever path it was
// named, also in a mount of a folder of the bucket.
func TestWaitIsTrue(t *testing.T) {
	s := embedded(t)
	bucket := s.bucket(t)
	m := mountBucket(t, s, bucket+"/april", "--settle=1m")
	card := t.TempDir()
	if err := os.MkdirAll(filepath.Join(card, "day 1", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{"day 1/a.mov", "day 1/sub/b.mov", "day 1/sub/c.mov"}
	for i, name := range names {
		copyIn(t, filepath.Join(card, name), i*9<<20+1)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(m.path("day 1"), link); err != nil {
		t.Fatal(err)
	}
	in := func(n int) {
		t.Helper()
		keys, err := s.list(bucket, "april/day 1/")
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, size := range keys {
			if size > 0 {
				got++
			}
		}
		if got != n {
			t.Errorf("the bucket has %d files: %v, want %d", got, keys, n)
		}
	}
	shell(t, fmt.Sprintf("cp -a '%s/day 1' %s", card, m.dir))
	in(0)
	m.want(0, "", "wait", m.path("day 1", "a.mov"))
	in(1)
	cmd := exec.Command(binary(t), "wait", "./b.mov")
	cmd.Dir, cmd.Env = m.path("day 1", "sub"), s.environ(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("wait with a relative path: %v, %s", err, out)
	}
	in(2)
	m.want(0, "", "wait", link)
	in(3)
	for _, name := range names {
		if err := os.Remove(m.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, fmt.Sprintf("cp -a '%s/day 1' %s && %s wait %s", card, m.dir, binary(t), m.dir))
	in(3)
	m.want(1, `no "day 2" in the mount: check the spelling`, "wait", m.path("day 2"))
	m.want(1, `is in no mount of this user`, "wait", card)
	m.want(0, "", "wait", filepath.Join(link, "sub"))
}

// TestWaitNamesOpenFiles: what is open for writing is not safe.
func TestWaitNamesOpenFiles(t *testing.T) {
	s := embedded(t)
	m := newMount(t, s)
	if err := os.Mkdir(m.path("day1"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(m.path("day1", "open.mov"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("begun"); err != nil {
		t.Fatal(err)
	}
	write(t, m.path("day1", "closed.mov"), []byte("closed"))
	m.want(1, `open for writing.*close it`, "cancel", "--yes", m.path("day1", "open.mov"))
	m.want(3, `day1/open\.mov is still open for writing.*close it`, "wait", m.path("day1"))
	if got, err := s.get(m.bucket, "day1/closed.mov"); err != nil || string(got) != "closed" {
		t.Errorf("the closed file: %q, %v", got, err)
	}
	if st := m.status(); len(st.Files) != 1 || st.Files[0].State != "writing" || !st.Files[0].Open || st.Files[0].Path != "day1/open.mov" {
		t.Errorf("status %+v", st)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m.want(0, "", "wait", m.path("day1"))
	if got, err := s.get(m.bucket, "day1/open.mov"); err != nil || string(got) != "begun" {
		t.Errorf("the other file: %q, %v", got, err)
	}
}

// TestRetryAfterPermissionIsBack: a refusal is shown with its remedy, ends a wait,
// keeps the file, and is tried at once when it is asked for.
func TestRetryAfterPermissionIsBack(t *testing.T) {
	s, g := gated(t, embedded(t))
	m := newMount(t, s)
	g.set(gateDenied)
	copyIn(t, m.path("large.mov"), 20<<20)
	write(t, m.path("small.mov"), []byte("small"))
	m.want(1, `(large|small)\.mov \(and 1 other\) cannot be sent: .*denied.*permission.*s3mount retry`, "wait", m.dir)
	st := m.status()
	if len(st.Files) != 2 {
		t.Fatalf("status %+v", st)
	}
	for _, f := range st.Files {
		if f.State == "failed" && (!strings.Contains(f.Error, "denied") || !strings.Contains(f.Remedy, "permission") || f.NextTry == nil) {
			t.Errorf("status %+v", f)
		}
	}
	m.want(0, `(?s)failed .*large\.mov.*access denied.*next try at`, "status", m.dir)
	g.set(gateOpen)
	m.want(0, `trying 2 files now`, "retry", m.dir)
	m.want(0, "", "wait", m.dir)
	for name, want := range map[string]int64{"large.mov": 20 << 20, "small.mov": 5} {
		if n, _, err := s.sha256(m.bucket, name); n != want || err != nil {
			t.Errorf("%s: %d bytes, %v, want %d", name, n, err, want)
		}
	}
	m.want(0, `nothing waits`, "retry", m.dir)
	m.want(0, `everything is in the bucket`, "status", m.dir)
}

// TestWaitTimesOut: with a server that does not answer the wait goes on until its
// limit, and says how much is left. The rest arrives afterwards.
func TestWaitTimesOut(t *testing.T) {
	s, g := gated(t, embedded(t))
	m := newMount(t, s)
	g.set(gateSilent)
	copyIn(t, m.path("a.mov"), 3<<20)
	m.want(2, `not all of it is in the bucket after 3s: 1 file, 3\.1 MB left: it goes on`, "wait", "--timeout=3s", m.dir)
	g.set(gateOpen)
	m.want(0, "", "retry", m.dir)
	m.want(0, "", "wait", m.dir)
}

// TestWaitWhenTheMountDies must not say that all is well, and must not hang.
func TestWaitWhenTheMountDies(t *testing.T) {
	s, g := gated(t, embedded(t))
	m := newMount(t, s)
	g.set(gateSilent)
	write(t, m.path("a.mov"), []byte("a"))
	done := make(chan result, 1)
	go func() { done <- m.command("wait", m.dir) }()
	eventually(t, 20*time.Second, func() error {
		if st := m.status(); len(st.Files) != 1 || st.Files[0].State == "settling" {
			return fmt.Errorf("status %+v", st)
		}
		return nil
	})
	time.Sleep(200 * time.Millisecond) // the wait has most likely asked by now; if not it fails as well
	m.kill()
	if r := <-done; r.code != 1 || !strings.Contains(r.stderr, "mount again") {
		t.Errorf("wait: exit %d, %q", r.code, r.stderr)
	}
	for _, args := range [][]string{{"wait", m.path("a.mov")}, {"status", m.dir}, {"retry", m.dir}, {"cancel", "-y", m.path("a.mov")}, {"uploads", m.dir}} {
		m.want(1, `has died: mount it again`, args...)
	}
	g.set(gateOpen)
	m.start()
	m.want(0, "", "wait", m.dir)
	m.unmount()
}
