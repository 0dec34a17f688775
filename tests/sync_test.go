//go:build linux

package tests

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSynchronousWrites finds the bytes of every write in the bucket when it returns.
func TestSynchronousWrites(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		for name, flags := range map[string]int{
			"w": os.O_WRONLY | os.O_SYNC, "rw": os.O_RDWR | os.O_SYNC, "data": os.O_WRONLY | unix.O_DSYNC,
		} {
			f, err := os.OpenFile(m.path(name), flags|os.O_CREATE, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			written := ""
			for _, piece := range []string{"one ", "two ", "three"} {
				if _, err := f.WriteString(piece); err != nil {
					t.Fatal(err)
				}
				written += piece
				if got, err := s.get(m.bucket, name); err != nil || string(got) != written {
					t.Errorf("%s: the bucket has %q, %v after writing %q", name, got, err, written)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
