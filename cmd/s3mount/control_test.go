package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"s3mount/transfer"
	"s3mount/transfer/journal"
)

// fakeSession is a session with one file that is uploaded when it is told.
type fakeSession struct {
	caching  // nil: none of these tests asks for it
	uploaded chan struct{}
	err      error
	asked    []string
}

func (f *fakeSession) Backlog(path string) backlog {
	select {
	case <-f.uploaded:
		return backlog{Files: []PendingFile{}}
	default:
		return backlog{
			totals: totals{FilesLeft: 1, BytesLeft: 60},
			Files:  []PendingFile{{Path: "day1/a.mov", State: "uploading", Size: 100, BytesTotal: 100, BytesDone: 40}},
		}
	}
}

func (f *fakeSession) Wait(ctx context.Context, path string) waited {
	if !strings.HasPrefix("day1/a.mov", path) {
		return waited{}
	}
	select {
	case <-f.uploaded:
		if f.err != nil {
			return waited{Error: f.err.Error(), Remedy: "ask"}
		}
		return waited{}
	case <-ctx.Done():
		return waited{backlog: f.Backlog(path), Error: "ended"}
	}
}

func (f *fakeSession) Retry(_ context.Context, path string) (int, error) {
	f.asked = append(f.asked, "retry "+path)
	return 3, f.err
}

func (f *fakeSession) Refresh(path string) int { return len(path) }

func (f *fakeSession) Cancel(_ context.Context, path string) error {
	f.asked = append(f.asked, "cancel "+path)
	return f.err
}

func (f *fakeSession) Owned() owned {
	return owned{Bucket: "b", Keys: []string{"k"}, Uploads: []journal.Upload{{Key: "k", ID: "i"}}}
}

func (f *fakeSession) Uploads(_ context.Context, o sweep) ([]uploadStatus, error) {
	return []uploadStatus{{Key: "k", Aborted: o.Abort && o.OlderThan == time.Hour}}, f.err
}

// testRegistry is a registry of the test's own; the socket's path is short.
func testRegistry(t *testing.T) *registry {
	t.Helper()
	dir, err := os.MkdirTemp("", "s3m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	reg, err := openRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func startControl(t *testing.T, reg *registry, mountpoint string, s controlled) (*control, *client) {
	t.Helper()
	rec := record{Mountpoint: mountpoint, Bucket: "b", PID: os.Getpid(), Socket: reg.base(mountpoint, os.Getpid()) + ".sock"}
	ctl, err := listenControl(rec, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.add(rec); err != nil {
		t.Fatal(err)
	}
	found, _, err := reg.find(mountpoint)
	if err != nil {
		t.Fatal(err)
	}
	return ctl, newClient(found)
}

func TestControl(t *testing.T) {
	s := &fakeSession{uploaded: make(chan struct{})}
	ctl, c := startControl(t, testRegistry(t), "/m", s)

	st, err := c.status(t.Context(), "", false)
	if err != nil || st.State != "mounted" || st.FilesLeft != 1 || st.BytesLeft != 60 || st.Mountpoint != "/m" {
		t.Errorf("status = %+v, %v", st, err)
	}
	if st, err := c.status(t.Context(), "", true); err != nil || st.FilesLeft != 1 || len(st.Files) != 0 {
		t.Errorf("failing files = %+v, %v, want none of one", st, err)
	}
	if w, err := c.wait(t.Context(), "other"); err != nil || w.problem(place{}) != nil {
		t.Errorf("wait for what is there: %+v, %v", w, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.wait(short, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait with a time limit: %v", err)
	}

	waited := make(chan error, 1)
	go func() { waited <- waitFor(c, "day1") }()
	end, err := c.watchEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	close(s.uploaded)
	if err := <-waited; err != nil {
		t.Errorf("wait: %v", err)
	}
	ctl.setState("draining")
	if st, _ := c.status(t.Context(), "", false); st.State != "draining" || st.FilesLeft != 0 {
		t.Errorf("status = %+v, want draining and nothing left", st)
	}
	ctl.finish(outcome{FilesLeft: 3, BytesLeft: 7, Error: "e"})
	if o, err := end(); err != nil || o != (outcome{3, 7, "e"}) {
		t.Errorf("end = %+v, %v", o, err)
	}
	if _, err := c.status(t.Context(), "", false); !errors.Is(err, errGone) {
		t.Errorf("status after the end: %v, want errGone", err)
	}
}

func TestControlWaitFails(t *testing.T) {
	s := &fakeSession{uploaded: make(chan struct{}), err: errors.New("denied")}
	close(s.uploaded)
	ctl, c := startControl(t, testRegistry(t), "/m", s)
	defer ctl.finish(outcome{})
	if err := waitFor(c, ""); err == nil || err.Error() != "denied: ask" {
		t.Errorf("wait = %v, want denied", err)
	}
}

func waitFor(c *client, path string) error {
	w, err := c.wait(context.Background(), path)
	if err != nil {
		return err
	}
	return w.problem(place{rec: c.rec})
}

func TestControlSteers(t *testing.T) {
	s := &fakeSession{}
	ctl, c := startControl(t, testRegistry(t), "/m", s)
	defer ctl.finish(outcome{})
	if n, err := c.order(t.Context(), "retry", "a b"); n != 3 || err != nil {
		t.Errorf("retry = %d, %v", n, err)
	}
	if _, err := c.order(t.Context(), "cancel", "x?y&z"); err != nil {
		t.Errorf("cancel: %v", err)
	}
	if got := strings.Join(s.asked, ", "); got != "retry a b, cancel x?y&z" {
		t.Errorf("asked for %q", got)
	}
	if o, err := c.owned(t.Context()); err != nil || len(o.Uploads) != 1 || o.Uploads[0].ID != "i" || o.Keys[0] != "k" {
		t.Errorf("owned = %+v, %v", o, err)
	}
	if u, err := c.uploads(t.Context(), sweep{Abort: true, OlderThan: time.Hour}); err != nil || len(u) != 1 || !u[0].Aborted {
		t.Errorf("uploads = %+v, %v", u, err)
	}
	s.err = &problem{cause: "open", remedy: "close it"}
	if _, err := c.order(t.Context(), "cancel", "x"); err == nil || err.Error() != "open: close it" {
		t.Errorf("cancel = %v", err)
	}
}

func TestWaitTellsWhatIsLeft(t *testing.T) {
	file := func(state string) PendingFile {
		return PendingFile{Path: state + ".mov", State: state, Error: "why", Remedy: "do this"}
	}
	for _, tt := range []struct {
		w    waited
		want string
		code int
	}{
		{w: waited{}},
		{waited{Error: "e"}, "e: see: s3mount status /m", 0},
		{waited{backlog: backlog{Files: []PendingFile{file("writing"), file("failed"), file("failed")}}, Error: "e"},
			"failed.mov (and 1 other) cannot be sent: why: do this", 0},
		{waited{backlog: backlog{Files: []PendingFile{file("writing")}}},
			"writing.mov is still open for writing and not safe; all else is in the bucket: close it in the program that writes it, then wait again", exitOpen},
	} {
		err := tt.w.problem(place{rec: record{Mountpoint: "/m"}})
		if tt.want == "" {
			if err != nil {
				t.Errorf("%+v: %v, want none", tt.w, err)
			}
			continue
		}
		var p *problem
		if !errors.As(err, &p) || p.Error() != tt.want || p.code != tt.code {
			t.Errorf("%+v: %v, want %q with code %d", tt.w, err, tt.want, tt.code)
		}
	}
}

// TestEndInterruptsWait: who waits must not hang when the mount ends.
func TestEndInterruptsWait(t *testing.T) {
	s := &fakeSession{uploaded: make(chan struct{})}
	ctl, c := startControl(t, testRegistry(t), "/m", s)
	waited := make(chan error, 1)
	go func() { waited <- waitFor(c, "") }()
	time.Sleep(20 * time.Millisecond)
	ctl.finish(outcome{FilesLeft: 1})
	select {
	case err := <-waited:
		if err == nil {
			t.Error("wait succeeds though the file is not in the bucket")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("wait hangs")
	}
}

func TestRegistry(t *testing.T) {
	reg := testRegistry(t)
	dead := record{Mountpoint: "/dead", PID: 1 << 30, Socket: filepath.Join(reg.dir, "x.sock")}
	outer := record{Mountpoint: "/m", PID: os.Getpid()}
	inner := record{Mountpoint: "/m/in", PID: os.Getpid()}
	for _, rec := range []record{dead, inner, outer} {
		if err := reg.add(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(reg.dir, "broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := reg.list()
	if err != nil || len(all) != 2 || all[0].Mountpoint != "/m" || all[1].Mountpoint != "/m/in" {
		t.Errorf("list = %v, %v, want /m and /m/in", all, err)
	}
	for path, want := range map[string][2]string{
		"/m": {"/m", ""}, "/m/a/b": {"/m", "a/b"}, "/m/in/x": {"/m/in", "x"}, "/m/in": {"/m/in", ""}, "/m/inner": {"/m", "inner"},
	} {
		rec, rel, err := reg.find(path)
		if err != nil || rec.Mountpoint != want[0] || rel != want[1] {
			t.Errorf("find(%s) = %s %q, %v, want %v", path, rec.Mountpoint, rel, err, want)
		}
	}
	for _, path := range []string{"/mm", "/", "/dead"} {
		if _, _, err := reg.find(path); !errors.Is(err, errNoMount) {
			t.Errorf("find(%s): %v, want errNoMount", path, err)
		}
	}
	next := outer // mounted again, while the earlier one still drains
	next.PID, next.Started = os.Getppid(), outer.Started.Add(time.Minute)
	if err := reg.add(next); err != nil {
		t.Fatal(err)
	}
	found := func(want record) {
		t.Helper()
		if rec, _, err := reg.find("/m/a"); err != nil || rec != want {
			t.Errorf("found %v, %v, want %v", rec, err, want)
		}
	}
	found(next)
	reg.remove(outer)
	found(next)
	reg.remove(next)
	if _, _, err := reg.find("/m/a"); !errors.Is(err, errNoMount) {
		t.Errorf("after remove: %v", err)
	}
}

// A PID is given to another process one day: the record of the mount that had it goes, and that of
// the next mount there, with the same PID, stays.
func TestRegistryOfAPIDThatIsUsedAgain(t *testing.T) {
	reg := testRegistry(t)
	rec := record{Mountpoint: "/m", PID: os.Getpid()}
	if err := reg.add(rec); err != nil {
		t.Fatal(err)
	}
	base := reg.base("/m", rec.PID)
	dead := strings.TrimSuffix(base, startOf(rec.PID)) + "1"
	raw, err := json.Marshal(record{Mountpoint: "/m", PID: rec.PID, Socket: dead + ".sock"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dead + ".json", dead + ".sock"} {
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := reg.list(); err != nil || len(all) != 1 || all[0] != rec {
		t.Errorf("list = %v, %v, want %v", all, err, rec)
	}
	if left, err := os.ReadDir(reg.dir); err != nil || len(left) != 1 || left[0].Name() != filepath.Base(base)+".json" {
		t.Errorf("left are %v, %v", left, err)
	}
}

// What a dead process left is removed, perhaps late, when its successor at the same mountpoint
// runs: that is reached all the same.
func TestRemovalOfADeadMountSparesTheNext(t *testing.T) {
	reg := testRegistry(t)
	dead := record{Mountpoint: "/m", PID: 1 << 30, Socket: reg.base("/m", 1<<30) + ".sock"}
	if err := reg.add(dead); err != nil {
		t.Fatal(err)
	}
	ctl, c := startControl(t, reg, "/m", &fakeSession{uploaded: make(chan struct{})})
	defer ctl.finish(outcome{})
	reg.remove(dead)
	if _, err := c.status(context.Background(), "", false); err != nil {
		t.Error(err)
	}
	if rec, _, err := reg.find("/m"); err != nil || rec.PID != os.Getpid() {
		t.Errorf("found %v, %v", rec, err)
	}
}

func TestRegistryIsPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := openRegistry(dir); err == nil {
		t.Error("a directory that others can enter is accepted")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := openRegistry(link); err == nil {
		t.Error("a symbolic link is accepted")
	}
}

// TestStatusIsDocumented holds docs/STATUS.md against what is printed: the names of
// all fields, and of all states.
func TestStatusIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/STATUS.md")
	if err != nil {
		t.Fatal(err)
	}
	now, eta := time.Now(), int64(1)
	st := mountStatus{
		record: record{Prefix: "p", Endpoint: "e"}, State: "mounted",
		backlog: backlog{
			totals: totals{OfflineSince: &now, ETASeconds: &eta},
			Files:  []PendingFile{{Error: "e", Remedy: "r", NextTry: &now}},
		},
	}
	up := uploadStatus{Owner: "o", Error: "e"}
	var fields []string
	for _, v := range []any{st, st.Files[0], up, finding{Detail: "d", Remedy: "r"}} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		fields = append(fields, slices.Sorted(maps.Keys(m))...)
	}
	for _, name := range fields {
		if !bytes.Contains(doc, []byte("| `"+name+"` |")) {
			t.Errorf("docs/STATUS.md lacks %s", name)
		}
	}
	documented := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllSubmatch(doc, -1)
	for _, m := range documented {
		name := string(m[1])
		if !slices.Contains(fields, name) && !slices.Contains(states, transfer.State(name)) {
			t.Errorf("docs/STATUS.md has %s, which is not printed", name)
		}
	}
	for _, s := range states {
		if !bytes.Contains(doc, []byte("| `"+string(s)+"` |")) {
			t.Errorf("docs/STATUS.md lacks the state %s", s)
		}
	}
}

var states = []transfer.State{
	transfer.StateWriting, transfer.StateSettling, transfer.StateQueued, transfer.StateUploading,
	transfer.StateCompleting, transfer.StateRetrying, transfer.StateFailed,
}

func TestStatusText(t *testing.T) {
	eta, at := int64(80), time.Now()
	st := mountStatus{
		record: record{Mountpoint: "/m", Bucket: "b", Prefix: "p/", PID: 7}, State: "mounted",
		backlog: backlog{
			totals: totals{FilesLeft: 2, BytesLeft: 80_000_000, BytesPerSecond: 1_000_000, ETASeconds: &eta, SpoolUsed: 5_000_000, SpoolLimit: 9_000_000_000},
			Files: []PendingFile{
				{Path: "a.mov", State: "uploading", BytesTotal: 100_000_000, BytesDone: 40_000_000, PartsTotal: 12, PartsDone: 5},
				{Path: "b\x1b[31m", State: "failed", BytesTotal: 20_000_000, Error: "access denied", Remedy: "ask", NextTry: &at},
			},
		},
	}
	var out bytes.Buffer
	if err := printStatus(&out, st); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"/m  b/p  mounted  pid 7", "cache: 5.0 MB of 9.0 GB in use", "2 files are not in the bucket yet, 80 MB to send, 1.0 MB/s, about 1m20s",
		"40 MB of 100 MB  5/12 parts  a.mov", `"b\x1b[31m"`, "access denied: ask; next try at " + at.Format(time.TimeOnly),
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s\nlacks %q", out.String(), want)
		}
	}
}
