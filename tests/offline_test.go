//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// outage is how long the line is dark.
func outage() time.Duration {
	if long() {
		return time.Minute
	}
	return 3 * time.Second
}

// TestOfflineInTheMiddleOfACopy lets the line go dark while a copy uploads. The copy
// goes on, and nothing is sent twice but the parts that were on their way.
func TestOfflineInTheMiddleOfACopy(t *testing.T) {
	const size = 96 << 20
	src := filepath.Join(t.TempDir(), "src.bin")
	sum := randomFile(t, src, size)
	onServers(t, func(t *testing.T, s *server) {
		modes := []darkness{refuses, hole}
		if !long() { // one on each
			modes = modes[:1]
			if s.name == "minio" {
				modes = []darkness{hole}
			}
		}
		for _, mode := range modes {
			t.Run(mode.String(), func(t *testing.T) { copyThroughOutage(t, s, mode, src, size, sum) })
		}
	})
}

func copyThroughOutage(t *testing.T, s *server, mode darkness, src string, size int64, sum string) {
	s, line := darkened(t, s, 8<<20)
	m := newMount(t, s)
	f, err := os.Create(m.path("clip.mov"))
	if err != nil {
		t.Fatal(err)
	}
	data := read(t, src)
	half := len(data) / 2
	if _, err := f.Write(data[:half]); err != nil {
		t.Fatal(err)
	}
	line.await(t, size/8)
	onTheWay := line.set(mode)
	if onTheWay == 0 {
		t.Error("nothing was on its way when the line went dark")
	}
	began := time.Now()
	if _, err := f.Write(data[half:]); err != nil { // goes on into the spool
		t.Errorf("write while the line is dark: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("close while the line is dark: %v", err)
	}
	if got := fileSum(t, m.path("clip.mov")); got != sum {
		t.Errorf("read while the line is dark: sha256 %s, want %s", got, sum)
	}
	time.Sleep(time.Until(began.Add(outage())))
	line.set(light)
	if r := run(t, s.environ(t), patient(3*time.Minute), "wait", m.dir); r.code != 0 {
		t.Errorf("wait: exit %d: %s", r.code, r.stderr)
	}
	if n, got, err := s.sha256(m.bucket, "clip.mov"); err != nil || n != size || got != sum {
		t.Errorf("in the bucket: %d bytes, sha256 %s, err %v; want %d bytes, %s", n, got, err, size, sum)
	}
	sent := line.bytesSent()
	t.Logf("%d bytes sent for %d; %d were on their way when the line went dark", sent, size, onTheWay)
	if sent > size+onTheWay {
		t.Errorf("%d bytes sent, want at most %d", sent, size+onTheWay)
	}
	if parts, _, err := s.uploadedParts(m.bucket, ""); err != nil || parts != 0 {
		t.Errorf("%d parts of unfinished uploads left, err %v", parts, err)
	}
	m.unmount()
}

// TestServerRestartsInTheMiddleOfACopy kills the server and starts it again.
func TestServerRestartsInTheMiddleOfACopy(t *testing.T) {
	const size = 64 << 20
	src := filepath.Join(t.TempDir(), "src.bin")
	sum := randomFile(t, src, size)
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, cmd := minioAt(t, dir, addr)
	behind, line := darkened(t, s, 8<<20)
	m := newMount(t, behind)
	shell(t, "cp "+src+" "+m.path("clip.mov"))
	line.await(t, size/8)
	onTheWay := line.set(refuses)
	cmd.Process.Kill()
	cmd.Wait()
	_, _ = minioAt(t, dir, addr)
	line.set(light)
	if r := run(t, s.environ(t), patient(2*time.Minute), "wait", m.dir); r.code != 0 {
		t.Errorf("wait: exit %d: %s", r.code, r.stderr)
	}
	if n, got, err := s.sha256(m.bucket, "clip.mov"); err != nil || n != size || got != sum {
		t.Errorf("in the bucket: %d bytes, sha256 %s, err %v; want %d bytes, %s", n, got, err, size, sum)
	}
	if sent := line.bytesSent(); sent > size+onTheWay {
		t.Errorf("%d bytes sent, want at most %d + %d", sent, size, onTheWay)
	}
	m.unmount()
}

// minioAt runs a MinIO of the test's own on a directory, until the test ends.
func minioAt(t *testing.T, dir, addr string) (*server, *exec.Cmd) {
	t.Helper()
	s, cmd, err := runMinio(dir, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return s, cmd
}

// TestFsyncEndsOffline gives up after --fsync-timeout; the upload goes on.
func TestFsyncEndsOffline(t *testing.T) {
	for _, mode := range []darkness{refuses, hole} {
		t.Run(mode.String(), func(t *testing.T) {
			s, line := darkened(t, embedded(t), 0)
			m := newMount(t, s, "--fsync-timeout", "2s")
			f, err := os.Create(m.path("project.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			line.set(mode)
			data := make([]byte, 1<<20)
			rand.NewChaCha8([32]byte{3}).Read(data)
			if _, err := f.Write(data); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err = f.Sync()
			wantErrno(t, "fsync", err, syscall.EIO, syscall.ENETDOWN, syscall.ETIMEDOUT)
			if took := time.Since(began); took < 2*time.Second || took > patient(20*time.Second) {
				t.Errorf("fsync gave up after %v, want 2s", took)
			}
			line.set(light)
			eventually(t, 30*time.Second, f.Sync) // the limit is as short as the pauses between tries
			if got, err := s.get(m.bucket, "project.db"); err != nil || !bytes.Equal(got, data) {
				t.Errorf("in the bucket: %d bytes, %v; want %d", len(got), err, len(data))
			}
		})
	}
}

// TestOfflineSpoolFull fills the spool while the line is dark: ENOSPC, and what was
// closed before is safe.
func TestOfflineSpoolFull(t *testing.T) {
	if !long() {
		t.Skip("the mount waits a minute for room before it gives up; LONG=1 runs this, transfer.TestSpoolFull does it in virtual time")
	}
	s, line := darkened(t, embedded(t), 0)
	m := newMount(t, s, "--spool-size", "128MiB")
	closed, err := os.Create(m.path("closed.mov"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(m.path("too-much.mov"))
	if err != nil {
		t.Fatal(err)
	}
	line.set(refuses)
	data := make([]byte, 64<<20)
	rand.NewChaCha8([32]byte{4}).Read(data)
	if _, err := closed.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for n := 0; err == nil && n < 128; n++ {
		_, err = f.Write(buf)
	}
	wantErrno(t, "write into the full spool", err, syscall.ENOSPC)
	f.Close()
	if err := os.Remove(m.path("too-much.mov")); err != nil {
		t.Errorf("unlink: %v", err)
	}
	line.set(light)
	if r := run(t, s.environ(t), patient(2*time.Minute), "wait", m.dir); r.code != 0 {
		t.Errorf("wait: exit %d: %s", r.code, r.stderr)
	}
	if got, err := s.get(m.bucket, "closed.mov"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("in the bucket: %d bytes, %v; want %d", len(got), err, len(data))
	}
	if _, err := s.head(m.bucket, "too-much.mov"); err == nil {
		t.Error("the file that was removed is in the bucket")
	}
}

// TestFolderIsCopiedWithoutTheBucket: files of a folder that was listed, and folders in it, go on
// being made and read back for longer than its listing is believed, and are in the bucket
// afterwards.
func TestFolderIsCopiedWithoutTheBucket(t *testing.T) {
	const files = 12
	s, line := darkened(t, embedded(t), 0)
	m := newMount(t, s, "--list-ttl=300ms", "--settle=10ms")
	card := t.TempDir()
	for i := range files {
		randomFile(t, filepath.Join(card, fmt.Sprintf("clip%02d.mov", i)), 100<<10)
	}
	shell(t, "mkdir "+m.path("day1")+" && cp "+card+"/clip00.mov "+m.path("day1")+" && ls "+m.path("day1"))
	line.set(refuses)
	for i := 1; i < files; i++ {
		shell(t, fmt.Sprintf("cp %s/clip%02d.mov %s", card, i, m.path("day1")))
		time.Sleep(200 * time.Millisecond)
	}
	shell(t, "diff -r "+card+" "+m.path("day1"))
	copied := m.path("day1/again")
	shell(t, "cp -a "+card+" "+copied+" && diff -r "+card+" "+copied+" && mkdir "+copied+"/empty")
	line.set(light)
	if r := run(t, s.environ(t), patient(time.Minute), "wait", m.dir); r.code != 0 {
		t.Errorf("wait: exit %d: %s", r.code, r.stderr)
	}
	for i := range files {
		name := fmt.Sprintf("clip%02d.mov", i)
		if _, got, err := s.sha256(m.bucket, "day1/"+name); err != nil || got != fileSum(t, filepath.Join(card, name)) {
			t.Errorf("%s in the bucket: sha256 %s, %v", name, got, err)
		}
	}
	for _, key := range []string{"day1/again/", "day1/again/empty/", "day1/again/clip11.mov"} {
		if _, err := s.head(m.bucket, key); err != nil {
			t.Errorf("%s, made without the bucket: %v", key, err)
		}
	}
	m.unmount()
}
