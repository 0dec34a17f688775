//go:build linux

package tests

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"
)

// TestReadsNeverMixVersions reads a file from the start again and again while another client
// overwrites it 50 times, each time with as many bytes of another value.
func TestReadsNeverMixVersions(t *testing.T) {
	const size, overwrites = 3 << 20, 50
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		put := func(v byte) error { return s.put(bucket, "clip.bin", bytes.Repeat([]byte{v}, size)) }
		if err := put(0); err != nil {
			t.Fatal(err)
		}
		m := mountBucket(t, s, bucket, "--list-ttl=10ms")
		done := make(chan error, 1)
		go func() {
			for v := byte(1); v <= overwrites; v++ {
				if err := put(v); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		seen := map[byte]bool{}
		for over := false; !over; {
			select {
			case err := <-done:
				if over = true; err != nil {
					t.Fatal(err)
				}
			default:
			}
			got, err := os.ReadFile(m.path("clip.bin"))
			if err != nil && !errors.Is(err, syscall.ESTALE) {
				t.Fatal(err)
			}
			if len(got) == 0 {
				continue
			}
			seen[got[0]] = true
			if n := bytes.Count(got, got[:1]); n != len(got) || err == nil && n != size {
				t.Fatalf("%d of %d bytes are of version %d, error %v", n, len(got), got[0], err)
			}
		}
		if len(seen) < 3 {
			t.Errorf("%d versions were read: nothing was tried", len(seen))
		}
	})
}
