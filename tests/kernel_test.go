//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kernelReads counts the read requests of the kernel, which the log of a mount with
// --log-level=debug has.
func (m *mount) kernelReads() int {
	return len(regexp.MustCompile(`rx \d+: READ `).FindAllString(m.log.String(), -1))
}

// TestKernelReads holds what makes reads cheap between the kernel and the mount: requests of
// a MiB, answers that name the blocks of the cache instead of copying them, and readahead of
// the page cache, or a line in the log that it could not be had.
func TestKernelReads(t *testing.T) {
	s := embedded(t)
	bucket := s.bucket(t)
	if err := s.put(bucket, "clip.mov", noise(1, 4<<20)); err != nil {
		t.Fatal(err)
	}
	m := mountBucket(t, s, bucket, "--log-level=debug")
	f := open(t, m.path("clip.mov"), os.O_RDONLY|syscall.O_DIRECT)
	if n, err := f.Read(make([]byte, 1<<20)); n != 1<<20 || err != nil {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	f.Close()
	if n := m.kernelReads(); n != 1 {
		t.Errorf("a MiB took %d reads", n)
	}
	eventually(t, 5*time.Second, func() error {
		if !strings.Contains(m.log.String(), "1048576b data (4 slices)") {
			return fmt.Errorf("the answer is not four blocks of the cache")
		}
		return nil
	})
	var st unix.Stat_t
	if err := unix.Stat(m.dir, &st); err != nil {
		t.Fatal(err)
	}
	kib, err := os.ReadFile(fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if got := strings.TrimSpace(string(kib)); got != "1024" && !strings.Contains(m.log.String(), "readahead stays") {
		t.Errorf("the kernel reads %q KiB ahead (%v), and the log does not say why", got, err)
	}
	m.unmount()
}

// TestKernelKeepsPages: who opens a file again reads it from the kernel's page cache, until
// another client replaces it.
func TestKernelKeepsPages(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket, first, second := s.bucket(t), noise(1, 3<<20), noise(2, 3<<20)
		if err := s.put(bucket, "clip.mov", first); err != nil {
			t.Fatal(err)
		}
		m := mountBucket(t, s, bucket, "--log-level=debug", "--list-ttl=50ms")
		m.readWhole("clip.mov", first)
		eventually(t, 5*time.Second, func() error { // the log comes through a pipe
			told := 0
			for _, read := range regexp.MustCompile(`: READ .*\[\d+ \+(\d+)\)`).FindAllStringSubmatch(m.log.String(), -1) {
				n, _ := strconv.Atoi(read[1])
				told += n
			}
			if told < len(first) {
				return fmt.Errorf("the log has reads of %d bytes", told)
			}
			return nil
		})
		before := m.kernelReads()
		for range 3 {
			m.readWhole("clip.mov", first)
		}
		if n := m.kernelReads() - before; before == 0 || n != 0 {
			t.Errorf("%d reads at first, %d more for the same bytes", before, n)
		}
		if err := s.put(bucket, "clip.mov", second); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, func() error {
			if got := read(t, m.path("clip.mov")); !bytes.Equal(got, second) {
				if !bytes.Equal(got, first) {
					t.Fatal("a mix of two versions")
				}
				return fmt.Errorf("still the former version")
			}
			return nil
		})
		m.unmount()
	})
}
