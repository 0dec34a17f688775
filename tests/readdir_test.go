//go:build linux

package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// TestNamesComeAtOnce reads the names of small objects, of which a listing does not tell
// whether they are links: that asks for none of them, and who reads gets what is there
// without waiting for the next page.
func TestNamesComeAtOnce(t *testing.T) {
	s := embedded(t)
	bucket := s.bucket(t)
	const n = 1200 // a page has 1000
	var puts errgroup.Group
	puts.SetLimit(16)
	for i := range n {
		puts.Go(func() error { return s.put(bucket, fmt.Sprintf("dir/f%05d", i), []byte("small")) })
	}
	if err := puts.Wait(); err != nil {
		t.Fatal(err)
	}
	front, p := through(t, s)
	m := mountBucket(t, front, bucket)
	pass := make(chan struct{})
	release := func() {
		if pass != nil {
			close(pass)
			pass = nil
		}
	}
	defer release() // before the proxy ends
	held := pass
	p.mu.Lock()
	p.hold = func(r request) {
		if strings.Contains(r.query, "continuation-token") {
			<-held
		}
	}
	p.mu.Unlock()
	d, err := os.Open(m.path("dir"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	first := make(chan int, 1)
	go func() { first <- len(dirents(t, d)) }()
	select {
	case got := <-first:
		if got == 0 || got > 1000 {
			t.Errorf("%d names before the second page has come", got)
		}
	case <-time.After(patient(20 * time.Second)):
		t.Error("the names of the first page wait for the second one")
		release()
		<-first
	}
	release()
	if _, err := d.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for {
		got := dirents(t, d)
		if len(got) == 0 {
			break
		}
		for _, name := range got {
			names[name] = true
		}
	}
	if len(names) != n {
		t.Errorf("%d names, want %d", len(names), n)
	}
	if asked := p.matching(func(r request) bool { return r.method == "HEAD" && strings.Contains(r.path, "/dir/f") }); len(asked) > 0 {
		t.Errorf("who read names only has asked for %d objects", len(asked))
	}
	if st, err := os.Lstat(m.path("dir/f00001")); err != nil || !st.Mode().IsRegular() || st.Size() != 5 {
		t.Errorf("lstat: %v, %v", st, err)
	}
}

// dirents is what one call of getdents64(2) gives, but for "." and "..".
func dirents(t *testing.T, d *os.File) (names []string) {
	buf := make([]byte, 1<<20)
	n, err := unix.Getdents(int(d.Fd()), buf)
	if err != nil {
		t.Error(err)
		return nil
	}
	_, _, names = unix.ParseDirent(buf[:n], -1, nil)
	return names
}

// TestLargeDirectoryAgain reads a directory on a second mount, which asks for its pages side
// by side, after other clients have changed it.
func TestLargeDirectoryAgain(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		const n = 2300 // three pages
		var puts errgroup.Group
		puts.SetLimit(16)
		for i := range n {
			puts.Go(func() error { return s.put(bucket, fmt.Sprintf("dir/f%05d", 2*i), []byte("small")) })
		}
		puts.Go(func() error { return s.put(bucket, "dir/f01000-sub/file", []byte("small")) })
		if err := puts.Wait(); err != nil {
			t.Fatal(err)
		}
		front, p := through(t, s)
		m := mountBucket(t, front, bucket)
		time.Sleep(2 * time.Second) // attributes are remembered of what is older
		entries, err := os.ReadDir(m.path("dir"))
		if err != nil || len(entries) != n+1 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		for _, e := range entries {
			if _, err := e.Info(); err != nil {
				t.Fatal(err)
			}
		}
		m.unmount()
		for _, key := range []string{"dir/f00001", "dir/f01999", "dir/f02001", "dir/f09999"} {
			if err := s.put(bucket, key, []byte("small")); err != nil {
				t.Fatal(err)
			}
		}
		p.reset()
		m.start()
		entries, err = os.ReadDir(m.path("dir"))
		if err != nil || len(entries) != n+5 || entries[1].Name() != "f00001" || entries[n+4].Name() != "f09999" {
			t.Errorf("%d entries, %v; want %d", len(entries), err, n+5)
		}
		if asked := p.matching(func(r request) bool { return strings.Contains(r.query, "start-after") }); len(asked) == 0 {
			t.Errorf("no page was asked for beside another one: %v", p.matching(func(r request) bool { return strings.Contains(r.query, "list-type") }))
		}
	})
}
