//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// noise is n bytes that are different for every seed.
func noise(seed byte, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

// gets is the requests that brought bytes of objects.
func (p *proxy) gets() []request {
	return p.matching(func(r request) bool {
		return r.method == "GET" && strings.Contains(strings.Trim(r.path, "/"), "/")
	})
}

// blockFiles are the files of the mount's block cache.
func (m *mount) blockFiles() (data, index string) {
	m.t.Helper()
	found, err := filepath.Glob(filepath.Join(m.cache, "*", "blocks", "data"))
	if err != nil || len(found) != 1 {
		m.t.Fatalf("block caches: %v, %v", found, err)
	}
	return found[0], filepath.Join(filepath.Dir(found[0]), "index")
}

// onDisk is how many bytes of blocks the tier has written.
func (m *mount) onDisk() int64 {
	m.t.Helper()
	data, _ := m.blockFiles()
	info, err := os.Stat(data)
	if err != nil {
		m.t.Fatal(err)
	}
	return info.Size()
}

// readWhole reads a file until all of it lies on disk.
func (m *mount) readWhole(name string, want []byte) {
	m.t.Helper()
	if got := read(m.t, m.path(name)); !bytes.Equal(got, want) {
		m.t.Fatalf("%s: %d bytes that differ, want %d", name, len(got), len(want))
	}
}

// TestCacheSurvivesRestart reads a file of another client, and again after restarts by
// umount and by kill: the second time not one byte comes from the bucket.
func TestCacheSurvivesRestart(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket, data := s.bucket(t), noise(1, 20<<20+77)
		if err := s.put(bucket, "clip.mov", data); err != nil {
			t.Fatal(err)
		}
		front, p := through(t, s)
		m := mountBucket(t, front, bucket, "--cache-size=64MiB")
		m.readWhole("clip.mov", data)
		eventually(t, 10*time.Second, func() error {
			if n := m.onDisk(); n < int64(len(data)) {
				return fmt.Errorf("%d of %d bytes on disk", n, len(data))
			}
			return nil
		})
		for _, restart := range []func(){m.remount, func() { m.kill(); m.start() }, m.remount} {
			restart()
			p.reset()
			m.readWhole("clip.mov", data)
			if n := len(p.gets()); n != 0 {
				t.Errorf("%d GETs for what is on disk", n)
			}
		}
		m.unmount()
	})
}

// TestCacheKeepsUploads writes files, edits one, and mounts again: they are read
// without the bucket.
func TestCacheKeepsUploads(t *testing.T) {
	front, p := through(t, embedded(t))
	m := newMount(t, front, "--cache-size=64MiB", "--settle=10ms")
	big, small := noise(2, 20<<20+5), noise(3, 3000)
	write(t, m.path("big.mov"), big)
	write(t, m.path("small.txt"), small)
	m.remount()
	p.reset()
	m.readWhole("big.mov", big)
	m.readWhole("small.txt", small)
	if n := len(p.gets()); n != 0 {
		t.Errorf("%d GETs for what was uploaded from here", n)
	}

	f := open(t, m.path("big.mov"), os.O_RDWR)
	patch := noise(4, 1000)
	for _, off := range []int64{300_000, 9_000_000, 20 << 20} {
		if _, err := f.WriteAt(patch[:min(1000, int64(len(big))-off)], off); err != nil {
			t.Fatal(err)
		}
		copy(big[off:], patch)
	}
	f.Close()
	m.remount()
	m.readWhole("big.mov", big) // its blocks have bytes of two origins
	m.kill()
	m.start()
	m.readWhole("big.mov", big)
	m.unmount()
}

// TestCacheKeepsWhatAnEditLeaves reads a file, changes a byte, and reads it again, at once, in the
// next mount, and in one after a kill: only the part that was sent may have to be fetched.
func TestCacheKeepsWhatAnEditLeaves(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket, data := s.bucket(t), noise(9, 64<<20)
		if err := s.put(bucket, "clip.mov", data); err != nil {
			t.Fatal(err)
		}
		front, p := through(t, s)
		m := mountBucket(t, front, bucket, "--cache-size=256MiB", "--settle=10ms")
		m.readWhole("clip.mov", data)
		eventually(t, 20*time.Second, func() error {
			if n := m.onDisk(); n < int64(len(data)) {
				return fmt.Errorf("%d of %d bytes on disk", n, len(data))
			}
			return nil
		})
		edit := func(off int64) {
			data[off]++
			f := open(t, m.path("clip.mov"), os.O_RDWR)
			if _, err := f.WriteAt(data[off:off+1], off); err != nil {
				t.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		const part = 9 << 20 // and the blocks that it begins and ends in
		before := m.cacheStats().FromBucket
		edit(30<<20 + 7)
		m.readPast("clip.mov", data)
		if n := m.cacheStats().FromBucket - before; n > part {
			t.Errorf("%d bytes were fetched for the edit and after it", n)
		}
		m.remount()
		p.reset()
		m.readPast("clip.mov", data)
		if n := len(p.gets()); n != 0 {
			t.Errorf("%d GETs after a remount", n)
		}
		edit(3)
		m.kill()
		m.start()
		m.readPast("clip.mov", data)
		if n := m.cacheStats().FromBucket; n > part {
			t.Errorf("%d bytes were fetched after a kill", n)
		}
		m.unmount()
	})
}

// TestCacheDamaged flips bits in every region of the files of the cache, and cuts them:
// what is read is right.
func TestCacheDamaged(t *testing.T) {
	s := embedded(t)
	bucket, data := s.bucket(t), noise(5, 12<<20+99)
	if err := s.put(bucket, "clip.mov", data); err != nil {
		t.Fatal(err)
	}
	m := mountBucket(t, s, bucket, "--cache-size=64MiB")
	m.readWhole("clip.mov", data)
	rng := rand.New(rand.NewPCG(8, 8))
	for what, damage := range map[string]func(data, index []byte) ([]byte, []byte){
		"data": func(d, x []byte) ([]byte, []byte) {
			for range 20 {
				d[rng.IntN(len(d))] ^= 4
			}
			return d, x
		},
		"records": func(d, x []byte) ([]byte, []byte) {
			for range 20 {
				x[4096+rng.IntN(len(x)-4096)] ^= 64
			}
			return d, x
		},
		"header":        func(d, x []byte) ([]byte, []byte) { x[9]++; return d, x },
		"data cut":      func(d, x []byte) ([]byte, []byte) { return d[:len(d)/3], x },
		"index cut":     func(d, x []byte) ([]byte, []byte) { return d, x[:len(x)/2] },
		"data empty":    func(d, x []byte) ([]byte, []byte) { return nil, x },
		"data shifted":  func(d, x []byte) ([]byte, []byte) { return append(make([]byte, 256<<10), d...), x },
		"index is text": func(d, x []byte) ([]byte, []byte) { return d, []byte("not an index") },
	} {
		m.unmount()
		dataFile, indexFile := m.blockFiles()
		d, x := damage(read(t, dataFile), read(t, indexFile))
		write(t, dataFile, d)
		write(t, indexFile, x)
		m.start()
		t.Log(what)
		m.readWhole("clip.mov", data)
	}
	m.unmount()
}

// TestCacheHarmedWhileMounted changes, cuts and removes the files of the cache while a mount
// uses them: what is read is right, and so it is in the next mount.
func TestCacheHarmedWhileMounted(t *testing.T) {
	s := embedded(t)
	bucket, data := s.bucket(t), noise(8, 12<<20+99)
	if err := s.put(bucket, "clip.mov", data); err != nil {
		t.Fatal(err)
	}
	m := mountBucket(t, s, bucket, "--cache-size=64MiB", "--memory=64MiB")
	m.readWhole("clip.mov", data)
	dataFile, indexFile := m.blockFiles()
	flip := func(name string, from int64) error {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		for off := from; off < from+8<<20; off += 100_003 {
			if _, err := f.WriteAt([]byte("harm"), off); err != nil {
				return err
			}
		}
		return nil
	}
	for _, harm := range []struct {
		what string
		do   func() error
	}{
		{"data changed", func() error { return flip(dataFile, 0) }},
		{"data cut", func() error { return os.Truncate(dataFile, 3<<20+1) }},
		{"records changed", func() error { return flip(indexFile, 4096) }},
		{"index cut", func() error { return os.Truncate(indexFile, 5000) }},
		{"all removed", func() error { return os.RemoveAll(filepath.Dir(dataFile)) }},
	} {
		if err := harm.do(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			m.readPast("clip.mov", data)
		}
		t.Log(harm.what, m.cacheStats())
	}
	m.remount()
	m.readWhole("clip.mov", data)
	m.unmount()
}

// readPast is readWhole past the kernel's page cache.
func (m *mount) readPast(name string, want []byte) {
	m.t.Helper()
	f := open(m.t, m.path(name), os.O_RDONLY|syscall.O_DIRECT)
	defer f.Close()
	got := make([]byte, len(want)+1)
	n, err := io.ReadFull(f, got)
	if err != io.ErrUnexpectedEOF || !bytes.Equal(got[:n], want) {
		m.t.Fatalf("%s: %d bytes that differ, want %d (%v)", name, n, len(want), err)
	}
}

// TestCacheKilledWhileFilling kills the mount again and again while it reads.
func TestCacheKilledWhileFilling(t *testing.T) {
	s := embedded(t)
	bucket, data := s.bucket(t), noise(6, 40<<20)
	if err := s.put(bucket, "clip.mov", data); err != nil {
		t.Fatal(err)
	}
	m := mountBucket(t, s, bucket, "--cache-size=24MiB") // smaller than the file: slots are used again
	for i := range 5 {
		done := make(chan []byte, 1)
		go func() {
			got, _ := os.ReadFile(m.path("clip.mov")) // fails when the mount is killed
			done <- got
		}()
		time.Sleep(time.Duration(30*(i+1)) * time.Millisecond)
		m.kill()
		if got := <-done; !bytes.HasPrefix(data, got) {
			t.Fatal("wrong bytes before the crash")
		}
		m.start()
	}
	m.readWhole("clip.mov", data)
	m.unmount()
}

// TestCacheOnFullDisk has a cache directory on a small disk, which the cache may not
// fill: reading and writing go on.
func TestCacheOnFullDisk(t *testing.T) {
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("making a small disk needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, 0) })
	s := embedded(t)
	bucket, data := s.bucket(t), noise(7, 96<<20)
	if err := s.put(bucket, "clip.mov", data); err != nil {
		t.Fatal(err)
	}
	m := &mount{t: t, srv: s, bucket: bucket, dir: t.TempDir(), cache: small, flags: []string{"--cache-size=1GiB", "--allow-tmpfs"}}
	t.Cleanup(m.end)
	m.start()
	m.readWhole("clip.mov", data)
	// The rest of the disk goes to somebody else.
	if err := exec.Command("dd", "if=/dev/zero", "of="+filepath.Join(small, "hog"), "bs=64k").Run(); err == nil {
		t.Error("the disk is not full")
	}
	m.readWhole("clip.mov", data)
	if err := os.Remove(filepath.Join(small, "hog")); err != nil {
		t.Fatal(err)
	}
	write(t, m.path("note.txt"), []byte("still writable"))
	m.unmount()
	if n := strings.Count(m.log.String(), "no room for a larger block cache"); n != 1 {
		t.Errorf("logged %d times that the disk is full, want once", n)
	}
}

// TestCacheOff keeps nothing.
func TestCacheOff(t *testing.T) {
	m := newMount(t, embedded(t), "--cache-size=0")
	write(t, m.path("a"), []byte("a"))
	m.remount()
	m.readWhole("a", []byte("a"))
	if found, err := filepath.Glob(filepath.Join(m.cache, "*", "blocks")); err != nil || len(found) != 0 {
		t.Errorf("made %v (%v)", found, err)
	}
	m.unmount()
}

// TestCacheKeepsRenamed renames a file that was read, and reads it after a restart: not one
// byte comes from the bucket.
func TestCacheKeepsRenamed(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket, data := s.bucket(t), noise(3, 5<<20+77)
		if err := s.put(bucket, "clip.mov", data); err != nil {
			t.Fatal(err)
		}
		front, p := through(t, s)
		m := mountBucket(t, front, bucket, "--cache-size=64MiB")
		m.readWhole("clip.mov", data)
		eventually(t, 10*time.Second, func() error {
			if n := m.onDisk(); n < int64(len(data)) {
				return fmt.Errorf("%d of %d bytes on disk", n, len(data))
			}
			return nil
		})
		if err := os.Rename(m.path("clip.mov"), m.path("take 2.mov")); err != nil {
			t.Fatal(err)
		}
		m.remount()
		p.reset()
		m.readWhole("take 2.mov", data)
		if n := len(p.gets()); n != 0 {
			t.Errorf("%d requests for bytes of a renamed file", n)
		}
	})
}
