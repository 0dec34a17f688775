//go:build linux

package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// long says that the large variants were asked for.
func long() bool { return os.Getenv("LONG") == "1" }

// rssAllowance is what the process may use besides --memory.
const rssAllowance = 150 << 20

// TestCopyInAndOut is the main job: a big file goes in, is the same for
// another client, and comes back the same through a mount that has nothing
// of it, all within the memory that was allowed.
func TestCopyInAndOut(t *testing.T) {
	size := int64(256 << 20)
	if long() {
		size = 4 << 30
	}
	src := filepath.Join(t.TempDir(), "src.bin")
	sum := randomFile(t, src, size)
	onServers(t, func(t *testing.T, s *server) {
		const memory = 256 << 20
		m := newMount(t, s, "--memory", "256MiB")
		shell(t, "cp "+src+" "+m.path("clip.mov"))
		in := m.peakRSS()
		m.remountCold()
		n, got, err := s.sha256(m.bucket, "clip.mov")
		if err != nil || n != size || got != sum {
			t.Fatalf("in the bucket: %d bytes, sha256 %s, err %v; want %d bytes, %s", n, got, err, size, sum)
		}
		back := filepath.Join(t.TempDir(), "back.bin")
		shell(t, "cp "+m.path("clip.mov")+" "+back)
		if got := fileSum(t, back); got != sum {
			t.Errorf("read back: sha256 %s, want %s", got, sum)
		}
		out := m.peakRSS()
		t.Logf("peak RSS: %d MiB writing, %d MiB reading", in>>20, out>>20)
		for what, rss := range map[string]int64{"writing": in, "reading": out} {
			if rss > memory+rssAllowance && !raceEnabled {
				t.Errorf("peak RSS %s: %d MiB, want at most %d MiB", what, rss>>20, (memory+rssAllowance)>>20)
			}
		}
	})
}

// TestUploadStreams writes slowly, and wants parts at the server before half
// of the file is written.
func TestUploadStreams(t *testing.T) {
	size := int64(160 << 20)
	if long() {
		size = 1 << 30
	}
	onServers(t, func(t *testing.T, s *server) {
		m := newMount(t, s)
		f, err := os.Create(m.path("slow.bin"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h, buf, rng := sha256.New(), make([]byte, 1<<20), rand.NewChaCha8([32]byte{7})
		w := io.MultiWriter(f, h)
		for n := int64(0); n < size; n += int64(len(buf)) {
			if n == size/2 {
				eventually(t, 30*time.Second, func() error {
					parts, bytes, err := s.uploadedParts(m.bucket, "slow.bin")
					if err == nil && parts == 0 {
						err = fmt.Errorf("no parts at the server with %d of %d bytes written", n, size)
					}
					if err == nil {
						t.Logf("half written: %d parts, %d MiB at the server", parts, bytes>>20)
					}
					return err
				})
			}
			rng.Read(buf)
			if _, err := w.Write(buf); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		m.unmount()
		n, got, err := s.sha256(m.bucket, "slow.bin")
		if want := hex.EncodeToString(h.Sum(nil)); err != nil || n != size || got != want {
			t.Errorf("in the bucket: %d bytes, sha256 %s, err %v; want %d bytes, %s", n, got, err, size, want)
		}
		if parts, _, err := s.uploadedParts(m.bucket, ""); err != nil || parts != 0 {
			t.Errorf("%d parts of unfinished uploads left, err %v", parts, err)
		}
	})
}

// randomFile writes a file of random bytes and returns its checksum.
func randomFile(t *testing.T, path string, size int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)}), size); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
