//go:build unix

package s3

import (
	"net"
	"syscall"
)

// alive tells whether the server has not ended a connection that no request was sent on. What
// cannot be looked at is taken for alive.
func alive(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	open := true
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = n > 0 || err == syscall.EAGAIN || err == syscall.EINTR
		return true // do not wait
	})
	return err == nil && open
}
