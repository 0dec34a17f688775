//go:build linux

package tests

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCancel gives up a new file and an edit, in every way in which the name may be
// known to the kernel.
func TestCancel(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		s, g := gated(t, s)
		bucket := s.bucket(t)
		if err := s.put(bucket, "old.txt", []byte("old version")); err != nil {
			t.Fatal(err)
		}
		if err := s.put(bucket, "moved.txt", []byte("before the move")); err != nil {
			t.Fatal(err)
		}
		m := mountBucket(t, s, bucket)
		if got := read(t, m.path("old.txt")); string(got) != "old version" {
			t.Fatalf("read %q", got)
		}
		g.set(gateDenied)
		write(t, m.path("new.txt"), []byte("new"))
		write(t, m.path("kept.txt"), []byte("kept"))
		for name, text := range map[string]string{"old.txt": "NEW", "moved.txt": "edited"} {
			f, err := os.OpenFile(m.path(name), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte(text), 0); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		if err := os.Rename(m.path("moved.txt"), m.path("there.txt")); err != nil {
			t.Fatal(err)
		}
		if got := read(t, m.path("old.txt")); string(got) != "NEW version" {
			t.Fatalf("read %q", got)
		}

		m.want(1, `nobody can be asked: give --yes`, "cancel", m.path("old.txt"))
		m.want(0, `cancelled old\.txt`, "cancel", "--yes", m.path("old.txt"))
		if got := read(t, m.path("old.txt")); string(got) != "old version" {
			t.Errorf("after the cancel it reads %q", got)
		}
		m.want(0, `cancelled new\.txt`, "cancel", "--yes", m.path("new.txt"))
		_, err := os.Stat(m.path("new.txt"))
		wantErrno(t, "stat of the cancelled file", err, syscall.ENOENT)
		m.want(0, `cancelled there\.txt`, "cancel", "--yes", m.path("there.txt"))
		_, err = os.Stat(m.path("there.txt"))
		wantErrno(t, "stat of the new name", err, syscall.ENOENT)
		if got := read(t, m.path("moved.txt")); string(got) != "before the move" {
			t.Errorf("the old name reads %q", got)
		}
		if got := shell(t, "ls "+m.dir); got != "kept.txt\nmoved.txt\nold.txt\n" {
			t.Errorf("ls: %q", got)
		}
		m.want(1, `in the bucket already`, "cancel", "--yes", m.path("old.txt"))
		m.want(1, `is a folder`, "cancel", "--yes", m.dir)
		m.want(1, `there is no "absent" in the mount`, "cancel", "--yes", m.path("absent"))

		m.kill() // what was cancelled does not come back
		g.set(gateOpen)
		m.start()
		m.want(0, "", "wait", m.dir)
		for name, want := range map[string]string{"old.txt": "old version", "moved.txt": "before the move", "kept.txt": "kept"} {
			if got, err := s.get(bucket, name); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v, want %q", name, got, err, want)
			}
		}
		if keys, err := s.list(bucket, ""); err != nil || len(keys) != 3 {
			t.Errorf("the bucket has %v, %v", keys, err)
		}
		m.unmount()
	})
}

// TestCancelAbortsTheUpload of a large file on its way.
func TestCancelAbortsTheUpload(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		s, g := gated(t, s)
		m := newMount(t, s)
		f, err := os.Create(m.path("large.mov"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, 48<<20)); err != nil {
			t.Fatal(err)
		}
		eventually(t, 30*time.Second, func() error {
			if n, _, err := s.uploadedParts(m.bucket, "large.mov"); n == 0 || err != nil {
				return fmt.Errorf("%d parts, %v", n, err)
			}
			return nil
		})
		eventually(t, 30*time.Second, func() error {
			parts, bytes, err := s.uploadedParts(m.bucket, "large.mov")
			st := m.status()
			if err != nil || len(st.Files) != 1 || st.Files[0].PartsDone != parts || st.Files[0].BytesDone != bytes || bytes == 0 {
				return fmt.Errorf("status %+v; the bucket has %d parts, %d bytes, %v", st, parts, bytes, err)
			}
			return nil
		})
		r := m.want(0, `large\.mov`, "uploads", m.dir)
		if !strings.Contains(r.stdout, "mount "+m.dir) {
			t.Errorf("the owner is not named: %s", r.stdout)
		}
		m.want(0, "", "uploads", "--abort-orphans", "--older-than=0s", m.dir)
		g.set(gateSilent) // it cannot become complete
		f.Close()
		m.want(0, "cancelled", "cancel", "--yes", m.path("large.mov"))
		g.set(gateOpen)
		eventually(t, time.Minute, func() error {
			if n, _, err := s.uploadedParts(m.bucket, "large.mov"); n > 0 || err != nil {
				return fmt.Errorf("%d parts are left, %v", n, err)
			}
			return nil
		})
		m.unmount()
	})
}
