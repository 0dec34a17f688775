//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFileLargerThanTheSpool copies a file that the spool has no room for. When cp
// ends it is in the bucket.
func TestFileLargerThanTheSpool(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src.bin")
	const size = 300 << 20
	sum := randomFile(t, src, size)
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s, "--spool-size", "128MiB")
		shell(t, "cp "+src+" "+m.path("big.mov"))
		n, got, err := s.sha256(m.bucket, "big.mov")
		if err != nil || n != size || got != sum {
			t.Fatalf("in the bucket: %d bytes, sha256 %s, err %v; want %d bytes, %s", n, got, err, size, sum)
		}
		if got := fileSum(t, m.path("big.mov")); got != sum {
			t.Errorf("read back: sha256 %s, want %s", got, sum)
		}
		shell(t, "cat "+src+" > "+m.path("again.mov"))
		if _, got, err := s.sha256(m.bucket, "again.mov"); err != nil || got != sum {
			t.Errorf("written by a shell: sha256 %s, err %v, want %s", got, err, sum)
		}
	})
}

// TestCancelOfAFileLargerThanTheSpool while it is being written: the writer gets an
// error, and nothing of it stays.
func TestCancelOfAFileLargerThanTheSpool(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s, "--spool-size", "128MiB")
		// A process of its own: whatever this one starts would close its descriptor, which
		// waits for the bucket.
		writer := exec.Command("dd", "of="+m.path("big.mov"), "bs=1M", "iflag=fullblock")
		in, err := writer.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		writer.Stderr = &said
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = writer.Process.Kill() })
		for range 240 {
			if _, err := in.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if st := m.status(); len(st.Files) != 1 || !st.Files[0].Overflowed || st.Files[0].State != "writing" {
			t.Errorf("status: %+v", st)
		}
		m.want(0, "writing.*big\\.mov.*larger than the spool: its close waits", "status", m.dir)
		m.want(0, "cancelled", "cancel", "--yes", m.path("big.mov"))
		if st := m.status(); len(st.Files) != 0 || st.SpoolUsed != 0 {
			t.Errorf("after the cancel: %+v", st)
		}
		_, _ = in.Write(make([]byte, 4<<20)) // until dd has ended
		_ = in.Close()
		if err := writer.Wait(); err == nil || !strings.Contains(said.String(), "Input/output error") {
			t.Errorf("dd: %v, %s", err, &said)
		}
		eventually(t, time.Minute, func() error {
			if n, _, err := s.uploadedParts(m.bucket, ""); n > 0 || err != nil {
				return fmt.Errorf("%d parts are left, %v", n, err)
			}
			return nil
		})
		if keys, err := s.list(m.bucket, ""); err != nil || len(keys) != 0 {
			t.Errorf("the bucket has %v, %v", keys, err)
		}
		write(t, m.path("big.mov"), []byte("again"))
		m.unmount()
		if got, err := s.get(m.bucket, "big.mov"); err != nil || string(got) != "again" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
