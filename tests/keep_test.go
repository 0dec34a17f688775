//go:build linux

package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestOpensBesideWrites has others open and read a file again and again while somebody
// writes it through the page cache: he reads back what he has written.
func TestOpensBesideWrites(t *testing.T) {
	m := newMount(t, embedded(t))
	for name, flags := range map[string]int{
		"read": os.O_RDONLY, "write": os.O_WRONLY, "both": os.O_RDWR, "direct": os.O_RDONLY | unix.O_DIRECT,
	} {
		t.Run(name, func(t *testing.T) {
			path := m.path(name)
			write(t, path, make([]byte, pageSize)) // past the page cache
			f := open(t, path, os.O_RDWR)
			reader := open(t, path, os.O_RDONLY)
			writeBeside(t, f, 1000, func() error {
				other, err := os.OpenFile(path, flags, 0)
				if err != nil {
					return err
				}
				defer other.Close()
				_, err = reader.ReadAt(make([]byte, pageSize), 0)
				return err
			})
		})
	}
}

// TestDirectWritesBesideWrites writes the same page past the page cache meanwhile.
func TestDirectWritesBesideWrites(t *testing.T) {
	m := newMount(t, embedded(t))
	path := m.path("f")
	write(t, path, make([]byte, pageSize))
	f, reader, direct := open(t, path, os.O_RDWR), open(t, path, os.O_RDONLY), open(t, path, os.O_WRONLY)
	writeBeside(t, f, 1000, func() error {
		if _, err := direct.WriteAt([]byte("x"), pageSize-1); err != nil {
			return err
		}
		_, err := reader.ReadAt(make([]byte, pageSize), 0)
		return err
	})
}

// TestRefreshKeepsPagesInUse looks at which pages the kernel has: a refresh drops them
// unless somebody may be writing through them.
func TestRefreshKeepsPagesInUse(t *testing.T) {
	m := newMount(t, embedded(t))
	path := m.path("f")
	write(t, path, make([]byte, pageSize))
	f := open(t, path, os.O_RDWR)
	mapped, err := unix.Mmap(int(open(t, path, os.O_RDONLY).Fd()), 0, pageSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	if m.succeed("refresh", path); mapped[0] != 0 || !resident(t, mapped) {
		t.Fatal("the kernel has not read the page")
	}
	if m.succeed("refresh", path); !resident(t, mapped) {
		t.Error("a page that somebody may be writing was dropped")
	}
	f.Close()
	eventually(t, 10*time.Second, func() error { // the mount hears of the close after it
		if m.succeed("refresh", path); resident(t, mapped) {
			return errors.New("the page is still there")
		}
		return nil
	})
}

// resident tells whether the kernel has the first page of a mapping.
func resident(t *testing.T, mapped []byte) bool {
	t.Helper()
	var has [1]byte
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), pageSize, uintptr(unsafe.Pointer(&has[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	return has[0]&1 != 0
}

// writeBeside writes half a page again and again through the page cache, and reads it
// back, until others have done something so many times.
func writeBeside(t *testing.T, f *os.File, times int64, others func() error) {
	t.Helper()
	var done atomic.Int64
	var loops sync.WaitGroup
	for range 2 {
		loops.Go(func() {
			for done.Add(1) <= times {
				if err := others(); err != nil {
					t.Error(err)
					done.Store(times)
				}
			}
		})
	}
	got := make([]byte, pageSize/2)
	for i := 0; done.Load() <= times; i++ {
		want := bytes.Repeat(fmt.Appendf(nil, "%7d\n", i), len(got)/8)
		if _, err := f.WriteAt(want, 0); err != nil {
			t.Error(err)
			break
		}
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("after %d: write %d reads back as %.8q (%v)", done.Load(), i, got, err)
			break
		}
	}
	done.Store(times)
	loops.Wait()
}

const pageSize = 4096
