package fs

import (
	"strings"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
)

// Invalidate makes the kernel forget what it knows of a path below the mountpoint,
// so that the next use asks again. It must not be called by a request's handler:
// the kernel may wait for that one here.
func (s *Server) Invalidate(path string) { s.invalidate(path, true) }

// follow makes the kernel forget the names and attributes that another client has changed.
// The bytes of a version that is open stay: who reads it goes on with it.
func (s *Server) follow(news <-chan string, gone <-chan struct{}) {
	for {
		select {
		case path := <-news:
			s.invalidate(path, false)
		case <-gone:
			return
		}
	}
}

func (s *Server) invalidate(path string, bytes bool) {
	child, errno := s.root, syscall.Errno(0)
	if path = strings.Trim(path, "/"); path != "" {
		dir, names := s.root, strings.Split(path, "/")
		for _, name := range names[:len(names)-1] {
			if dir = dir.GetChild(name); dir == nil {
				return // the kernel does not know the directory
			}
		}
		name := names[len(names)-1]
		child = dir.GetChild(name)
		errno = dir.NotifyEntry(name) // also where it remembers that there is none
	}
	if child != nil && errno == 0 {
		errno = forget(child, bytes)
	}
	if errno != 0 && errno != syscall.ENOENT {
		s.log.Warn("the kernel's cache could not be dropped", "path", path, "errno", errno.Error())
	}
}

// forget drops the attributes of a file from the kernel's cache, and its bytes.
func forget(n *gofuse.Inode, bytes bool) syscall.Errno {
	if bytes {
		return n.NotifyContent(0, 0)
	}
	return n.NotifyContent(-1, 0)
}
