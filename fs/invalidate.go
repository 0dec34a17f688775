package fs

import (
	"strings"
	"syscall"
)

// Invalidate makes the kernel forget what it knows of a path below the mountpoint,
// so that the next use asks again. It must not be called by a request's handler:
// the kernel may wait for that one here.
func (s *Server) Invalidate(path string) {
	dir := s.root
	names := strings.Split(strings.Trim(path, "/"), "/")
	for i, name := range names {
		child := dir.GetChild(name)
		if i == len(names)-1 {
			errno := dir.NotifyEntry(name) // also where it remembers that there is none
			if child != nil && errno == 0 {
				errno = child.NotifyContent(0, 0)
			}
			if errno != 0 && errno != syscall.ENOENT {
				s.log.Warn("the kernel's cache could not be dropped", "path", path, "errno", errno.Error())
			}
			return
		}
		if child == nil {
			return // the kernel does not know the directory
		}
		dir = child
	}
}
