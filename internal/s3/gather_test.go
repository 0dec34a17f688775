package s3

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestGatherLow(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name string
		got  int64
		took time.Duration
		left int64
		want int
	}{
		{"the first bytes", gatherSample - 1, time.Millisecond, 8 * mib, 0},
		{"a fast connection", mib, 20 * time.Millisecond, 4 * mib, gatherMost},
		{"10 MB/s", mib, 104857600 * time.Nanosecond, 4 * mib, 100000},
		{"a slow connection", mib, time.Second, 4 * mib, 0},
		{"no time", mib, 0, 4 * mib, gatherMost},
		{"near the end", mib, 20 * time.Millisecond, gatherMost + gatherSpare - 1, 0},
	} {
		if got := gatherLow(tt.got, tt.took, tt.left); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestGatherEnds reads a long body and a short one on one connection: a mark that was left
// behind would keep the short one waiting for ever.
func TestGatherEnds(t *testing.T) {
	const long = 4 << 20
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := long
		if r.URL.Path == "/short" {
			n = 10
		}
		_, _ = w.Write(make([]byte, n))
	}))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	read := func(path string, size int64, mark int) {
		var b body
		ctx, cancel := context.WithTimeout(withGather(context.Background(), &b.gather), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		g, buf, left := &b.gather, make([]byte, 256<<10), size
		if g.conn == nil {
			t.Fatal("the connection is not known")
		}
		if mark > 0 { // as if the connection were fast, however busy the machine is
			if err := setLowMark(g.conn, mark); err != nil {
				t.Skipf("the system lets no socket wait for many bytes: %v", err)
			}
			g.low = mark
		}
		for left > 0 && err == nil {
			var n int
			n, err = resp.Body.Read(buf)
			left -= int64(n)
			g.took(n, left)
		}
		if err != nil && err != io.EOF || left != 0 {
			t.Fatalf("%s: %v, %d bytes are missing", path, err, left)
		}
		if got := lowMark(t, g.conn); got != 1 {
			t.Errorf("%s: the socket waits for %d bytes after the body", path, got)
		}
	}
	for range 3 {
		read("/long", long, gatherMost)
		read("/short", 10, 0)
	}
}

func TestRawConn(t *testing.T) {
	in, out := net.Pipe()
	defer in.Close()
	defer out.Close()
	if rawConn(&stallConn{Conn: in}) != nil {
		t.Error("a pipe has no socket")
	}
}

func lowMark(t *testing.T, c syscall.RawConn) (n int) {
	t.Helper()
	err := c.Control(func(fd uintptr) {
		var err error
		if n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	return n
}
