package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How long the init system is asked to wait on, and how often: a process that
// hangs is killed after stopExtension.
const (
	stopExtension = time.Minute
	notifyEvery   = 2 * time.Second
)

// notifier tells the init system how the mount is doing, in the protocol of
// sd_notify(3). Without a socket it tells nobody. There is no watchdog: what hangs in
// a mount is nearly always the network, and a restart would cost the files that are open.
type notifier struct {
	addr string // of a socket, "@" for the abstract name space; empty: none

	mu struct {
		sync.Mutex
		status string
	}
}

// newNotifier takes the socket out of the environment, so that helpers of this process
// do not speak for it.
func newNotifier() *notifier {
	n := &notifier{addr: os.Getenv("NOTIFY_SOCKET")}
	os.Unsetenv("NOTIFY_SOCKET")
	return n
}

// ready says that the mount answers.
func (n *notifier) ready(status string) {
	n.send("READY=1", "STATUS="+oneLine(status))
}

// stopping says that the mount is ending, and goes on to ask for time, and to tell the
// status, until the returned function is called. How long that may take is bounded by
// the drain, not by the init system.
func (n *notifier) stopping(status string) (end func()) {
	n.setStatus(status)
	if n.addr == "" {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(notifyEvery)
		defer tick.Stop()
		for first := "STOPPING=1"; ; first = "" {
			n.send(first, "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(stopExtension.Microseconds(), 10), "STATUS="+n.status())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

func (n *notifier) setStatus(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.status = oneLine(s)
}

func (n *notifier) status() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.status
}

// send is one datagram. Nobody is there to be told of an error.
func (n *notifier) send(lines ...string) {
	if n.addr == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.addr, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // its queue may be full
	_, _ = conn.Write([]byte(strings.TrimLeft(strings.Join(lines, "\n"), "\n")))
}
