//go:build linux

package tests

import (
	"path/filepath"
	"testing"
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
