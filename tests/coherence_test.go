//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReadersSeeWrites has one file open for cached reading, for direct
// writing, for mixed use and mapped, while another reader keeps filling the
// page cache. Whoever reads sees the last write.
func TestReadersSeeWrites(t *testing.T) {
	const size = 1 << 20
	m := newMount(t, embedded(t))
	path := m.path("project.db")
	model := bytes.Repeat([]byte{1}, size)
	write(t, path, model)
	reader, writer, mixed := open(t, path, os.O_RDONLY), open(t, path, os.O_WRONLY), open(t, path, os.O_RDWR)
	mapped, err := unix.Mmap(int(reader.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)

	var background sync.WaitGroup
	stop := make(chan struct{})
	background.Go(func() {
		for buf := make([]byte, 64<<10); ; {
			select {
			case <-stop:
				return
			default:
				_, _ = reader.ReadAt(buf, 0)
			}
		}
	})
	defer background.Wait()
	defer close(stop)

	rng, buf := rand.New(rand.NewPCG(1, 1)), make([]byte, 9000)
	for i := range 600 {
		off, data := rng.IntN(size-9000), buf[:1+rng.IntN(9000)]
		rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(data)
		f := []*os.File{writer, writer, mixed}[i%3]
		if _, err := f.WriteAt(data, int64(off)); err != nil {
			t.Fatal(err)
		}
		copy(model[off:], data)
		for name, f := range map[string]*os.File{"reader": reader, "mixed": mixed} {
			got := make([]byte, len(data))
			if _, err := f.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("write %d: the %s sees something else (%v)", i, name, err)
			}
		}
		if !bytes.Equal(mapped[off:off+len(data)], data) {
			t.Fatalf("write %d: the mapping shows something else", i)
		}
	}
	if got := read(t, path); !bytes.Equal(got, model) {
		t.Error("a new reader sees something else")
	}
}

// TestSharedMappingIsWritten writes through a mapping, as sqlite does to its
// -shm file.
func TestSharedMappingIsWritten(t *testing.T) {
	m := newMount(t, embedded(t))
	path := m.path("db-shm")
	write(t, path, make([]byte, 32<<10))
	f := open(t, path, os.O_RDWR)
	mapped, err := unix.Mmap(int(f.Fd()), 0, 32<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	copy(mapped[5000:], "through the mapping")
	if err := unix.Msync(mapped, unix.MS_SYNC); err != nil {
		t.Fatal(err)
	}
	if err := unix.Munmap(mapped); err != nil {
		t.Fatal(err)
	}
	f.Close()
	m.remountCold()
	if got := read(t, path); !bytes.HasPrefix(got[5000:], []byte("through the mapping")) {
		t.Errorf("after a remount: %q", got[5000:5020])
	}
}

// TestMappingBesideDirectWriter writes in turns through a mapping and through
// a descriptor that goes past the page cache. With the mapping made from a
// direct descriptor the kernel sends what was mapped through that one.
func TestMappingBesideDirectWriter(t *testing.T) {
	m := newMount(t, embedded(t))
	for name, flags := range map[string]int{"buffered": os.O_RDWR, "direct": os.O_RDWR | unix.O_DIRECT} {
		t.Run(name, func(t *testing.T) {
			const size = 64 << 10
			path := m.path(name)
			write(t, path, make([]byte, size))
			reader, writer := open(t, path, os.O_RDONLY), open(t, path, os.O_WRONLY)
			mapped, err := unix.Mmap(int(open(t, path, flags).Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Munmap(mapped)
			model, rng := make([]byte, size), rand.New(rand.NewPCG(2, 2))
			for i := range 200 {
				off, data := rng.IntN(size-100), bytes.Repeat([]byte{byte(i)}, 1+rng.IntN(100))
				copy(model[off:], data)
				if i%2 == 0 {
					copy(mapped[off:], data)
					err = unix.Msync(mapped, unix.MS_SYNC)
				} else {
					_, err = writer.WriteAt(data, int64(off))
				}
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, size)
				if _, err := reader.ReadAt(got, 0); err != nil || !bytes.Equal(got, model) || !bytes.Equal(mapped, model) {
					t.Fatalf("write %d: %v, file right %v, mapping right %v", i, err, bytes.Equal(got, model), bytes.Equal(mapped, model))
				}
			}
		})
	}
}

// TestSignalsDoNotBreakIO copies with a process that gets a signal every few
// milliseconds, as one with a timer or a profiler does.
func TestSignalsDoNotBreakIO(t *testing.T) {
	m := newMount(t, embedded(t))
	sum := randomFile(t, m.path("in"), 48<<20)
	m.remountCold()
	cmd := exec.Command("dd", "if="+m.path("in"), "of="+m.path("out"), "bs=256k")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	eventually(t, 10*time.Second, func() error { return handlesUSR1(cmd.Process.Pid) })
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = cmd.Process.Signal(unix.SIGUSR1) // dd handles it and goes on
			continue
		case err := <-done:
			if err != nil {
				t.Fatalf("dd: %v", err)
			}
		}
		break
	}
	if got := fileSum(t, m.path("out")); got != sum {
		t.Errorf("sha256 of the copy %s, want %s", got, sum)
	}
}

// handlesUSR1 is nil when a process has a handler for SIGUSR1, or has ended.
func handlesUSR1(pid int) error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	_, rest, ok := bytes.Cut(b, []byte("SigCgt:\t"))
	caught, err := strconv.ParseUint(string(rest[:min(16, len(rest))]), 16, 64)
	if ok && (err != nil || caught&(1<<(unix.SIGUSR1-1)) == 0) {
		return fmt.Errorf("process %d has no handler yet", pid)
	}
	return nil
}

func open(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
