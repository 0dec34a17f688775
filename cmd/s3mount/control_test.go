package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeSession is a session with one file that is uploaded when it is told.
type fakeSession struct {
	uploaded chan struct{}
	err      error
}

func (f *fakeSession) Pending() []PendingFile {
	select {
	case <-f.uploaded:
		return nil
	default:
		return []PendingFile{{Path: "day1/a.mov", State: "uploading", Size: 100, Done: 40}}
	}
}

func (f *fakeSession) Wait(ctx context.Context, path string) error {
	if !strings.HasPrefix("day1/a.mov", path) {
		return nil
	}
	select {
	case <-f.uploaded:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
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
	rec := record{Mountpoint: mountpoint, Bucket: "b", PID: os.Getpid(), Socket: reg.base(mountpoint) + ".sock"}
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

	st, err := c.status(t.Context())
	if err != nil || st.State != "mounted" || st.FilesLeft != 1 || st.BytesLeft != 60 || st.Mountpoint != "/m" {
		t.Errorf("status = %+v, %v", st, err)
	}
	if err := c.wait(t.Context(), "other"); err != nil {
		t.Errorf("wait for what is there: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.wait(short, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait with a time limit: %v", err)
	}

	waited := make(chan error, 1)
	go func() { waited <- c.wait(context.Background(), "day1") }()
	end, err := c.watchEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	close(s.uploaded)
	if err := <-waited; err != nil {
		t.Errorf("wait: %v", err)
	}
	ctl.setState("draining")
	if st, _ := c.status(t.Context()); st.State != "draining" || st.FilesLeft != 0 {
		t.Errorf("status = %+v, want draining and nothing left", st)
	}
	ctl.finish(outcome{FilesLeft: 3, Error: "e"})
	if o, err := end(); err != nil || o != (outcome{3, "e"}) {
		t.Errorf("end = %+v, %v", o, err)
	}
	if _, err := c.status(t.Context()); !errors.Is(err, errGone) {
		t.Errorf("status after the end: %v, want errGone", err)
	}
}

func TestControlWaitFails(t *testing.T) {
	s := &fakeSession{uploaded: make(chan struct{}), err: errors.New("denied")}
	close(s.uploaded)
	ctl, c := startControl(t, testRegistry(t), "/m", s)
	defer ctl.finish(outcome{})
	if err := c.wait(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "denied") {
		t.Errorf("wait = %v, want denied", err)
	}
}

// TestEndInterruptsWait: who waits must not hang when the mount ends.
func TestEndInterruptsWait(t *testing.T) {
	s := &fakeSession{uploaded: make(chan struct{})}
	ctl, c := startControl(t, testRegistry(t), "/m", s)
	waited := make(chan error, 1)
	go func() { waited <- c.wait(context.Background(), "") }()
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
	other := outer
	other.PID = 1
	reg.remove(other) // a record of another process stays
	if _, err := reg.get("/m"); err != nil {
		t.Error(err)
	}
	reg.remove(outer)
	if _, err := reg.get("/m"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after remove: %v", err)
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

// TestStatusJSON fixes the names that other tools rely on.
func TestStatusJSON(t *testing.T) {
	st := mountStatus{record: record{Mountpoint: "/m", Bucket: "b", PID: 1}, State: "mounted", FilesLeft: 1, BytesLeft: 2,
		Files: []PendingFile{{Path: "a", State: "waiting", Size: 2}}}
	b, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"mountpoint":"/m"`, `"bucket":"b"`, `"pid":1`, `"state":"mounted"`, `"files_left":1`, `"bytes_left":2`, `"files":[{"path":"a","state":"waiting","size":2,"done":0}]`} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
	if err := printStatus(io.Discard, st); err != nil {
		t.Error(err)
	}
}
