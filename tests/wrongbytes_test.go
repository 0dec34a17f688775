//go:build linux

package tests

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestWrongBytesOnTheWay changes one byte of an answer. Who reads a file of this mount to
// its end is told, and who opens it again gets the right bytes.
func TestWrongBytesOnTheWay(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		front, p := through(t, s)
		m := newMount(t, front, "--cache-size=64MiB")
		files := map[string][]byte{"small": noise(1, 100_000), "large": noise(2, 20<<20+77)}
		for name, data := range files {
			write(t, m.path(name), data)
		}
		m.remountCold()
		for name, data := range files {
			p.spoilOnce()
			got, err := os.ReadFile(m.path(name))
			if bytes.Equal(got, data) {
				t.Fatalf("%s: the byte was not changed", name)
			}
			wantErrno(t, "read of "+name, err, syscall.EIO)
			eventually(t, 10*time.Second, func() error {
				got, err := os.ReadFile(m.path(name))
				if err == nil && !bytes.Equal(got, data) {
					t.Fatalf("%s: wrong bytes without an error", name)
				}
				return err
			})
		}
	})
}
