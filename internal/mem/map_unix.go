//go:build unix

package mem

import "golang.org/x/sys/unix"

func mapMemory(n int) ([]byte, error) {
	p, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err == nil {
		adviseHuge(p)
	}
	return p, err
}

// dropMemory gives pages back. It is advice: a failure costs memory, nothing else.
func dropMemory(p []byte) { _ = unix.Madvise(p, unix.MADV_DONTNEED) }

func unmapMemory(p []byte) { _ = unix.Munmap(p) }
