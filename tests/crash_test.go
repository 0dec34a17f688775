//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKillKeepsClosedFiles kills the mount after 20 files were closed and
// while one is being written. The next mount publishes the 20 and names the
// one that is lost.
func TestKillKeepsClosedFiles(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		rng, files := rand.NewChaCha8([32]byte{1}), map[string][]byte{}
		for i := range 20 {
			data := make([]byte, 1+i*i*40_000) // to 14 MB: single PUTs and multipart uploads
			rng.Read(data)
			name := fmt.Sprintf("closed-%02d.bin", i)
			write(t, m.path(name), data)
			files[name] = data
		}
		f, err := os.Create(m.path("unfinished.bin"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(make([]byte, 24<<20)); err != nil {
			t.Fatal(err)
		}
		m.kill()
		_, err = f.Write([]byte("x"))
		wantErrno(t, "write after the crash", err, syscall.ENOTCONN, syscall.ECONNABORTED)
		f.Close()

		m.start()
		for name, want := range files {
			if got := read(t, m.path(name)); !bytes.Equal(got, want) {
				t.Errorf("%s in the mount: %d bytes that differ, want %d", name, len(got), len(want))
			}
		}
		for name, want := range files {
			eventually(t, time.Minute, func() error {
				got, err := s.get(m.bucket, name)
				if err == nil && !bytes.Equal(got, want) {
					err = fmt.Errorf("%s in the bucket: %d bytes that differ, want %d", name, len(got), len(want))
				}
				return err
			})
		}
		if _, err := s.head(m.bucket, "unfinished.bin"); err == nil {
			t.Error("the unfinished file is in the bucket")
		}
		if !strings.Contains(m.log.String(), "unfinished.bin") {
			t.Errorf("the unfinished file is not named; the log:\n%s", m.log)
		}
		m.unmount()
	})
}

// TestStaleMountpointIsReplaced mounts over what a crash has left.
func TestStaleMountpointIsReplaced(t *testing.T) {
	m := newMount(t, embedded(t))
	write(t, m.path("a"), []byte("a"))
	m.kill()
	err := syscall.Statfs(m.dir, new(syscall.Statfs_t)) // the kernel may know a stat's answer still
	wantErrno(t, "statfs of the stale mountpoint", err, syscall.ENOTCONN, syscall.ECONNABORTED)
	m.start()
	if got := read(t, m.path("a")); string(got) != "a" {
		t.Errorf("read %q, want a", got)
	}
	m.unmount()
	if entries, err := os.ReadDir(m.dir); err != nil || len(entries) != 0 {
		t.Errorf("mountpoint after umount: %v, %v", entries, err)
	}
}
