package fs

import (
	"strings"
	"syscall"
)

// Invalidate makes the kernel forget what it knows of a path below the mountpoint,
// so that the next use asks again. Pages that somebody may be writing through stay. It
// must not be called by a request's handler: the kernel may wait for that one here.
func (s *Server) Invalidate(path string) {
	s.invalidate(path, func(n *node) syscall.Errno {
		if done, errno := n.pages.clear(n.forgetPages); done {
			return errno
		}
		return n.forgetAttr()
	})
}

// Damaged is Invalidate of a file of which the kernel has wrong bytes: they go in any case.
func (s *Server) Damaged(path string) { s.invalidate(path, (*node).forgetPages) }

// follow makes the kernel forget the names and attributes that another client has changed.
// The bytes of a version that is open stay: who reads it goes on with it.
func (s *Server) follow(news <-chan string, gone <-chan struct{}) {
	for {
		select {
		case path := <-news:
			s.invalidate(path, (*node).forgetAttr)
		case <-gone:
			return
		}
	}
}

func (s *Server) invalidate(path string, forget func(*node) syscall.Errno) {
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
		errno = forget(child.Operations().(*node))
	}
	if errno != 0 && errno != syscall.ENOENT {
		s.log.Warn("the kernel's cache could not be dropped", "path", path, "errno", errno.Error())
	}
}

// forgetAttr drops a node's attributes from the kernel's cache.
func (n *node) forgetAttr() syscall.Errno { return n.NotifyContent(-1, 0) }

// forgetPages drops the bytes of a file too.
func (n *node) forgetPages() syscall.Errno { return n.NotifyContent(0, 0) }
