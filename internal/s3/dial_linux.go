package s3

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged makes the kernel give up a connection whose sent bytes
// are not acknowledged. Without it, the last megabytes of a body wait in the
// socket buffer of a dead connection for minutes.
func limitUnacknowledged(network, address string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(stallWait.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}

// setLowMark has the socket be ready to be read when n bytes are there, or none will come.
func setLowMark(c syscall.RawConn, n int) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, n)
	})
	if err != nil {
		return err
	}
	return failed
}
