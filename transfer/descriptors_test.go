package transfer

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"s3mount/internal/s3/s3test"
)

// limitOpenFiles lowers the limit of descriptors until the returned function is called.
func limitOpenFiles(t *testing.T, n uint64) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: old.Max}))
	return func() { check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)) }
}

// More files wait for the bucket than the process may have open, also those of an earlier
// process.
func TestMoreFilesThanDescriptors(t *testing.T) {
	const files = 300
	defer limitOpenFiles(t, 200)()
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Status: 503, Code: "SlowDown"} })
		data := func(i int) []byte { return writePattern(byte(i), 100+i) }
		for i := range files {
			g.put(fmt.Sprint(i), data(i))
		}
		g.crash()
		if n := len(g.found.Files); n != files {
			t.Fatalf("%d files were found", n)
		}
		g.wait()
		for i := range files {
			g.has(fmt.Sprint(i), data(i))
		}
		for i := range files { // those that are kept for reading
			g.put(fmt.Sprint("next", i), data(i))
		}
		g.wait()
		g.idle()
	})
}
