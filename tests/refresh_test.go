//go:build linux

package tests

import (
	"os"
	"testing"
)

// TestRefresh changes the bucket behind a mount that believes its listings for an hour.
func TestRefresh(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		put := func(key, body string) {
			t.Helper()
			if err := s.put(bucket, key, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		put("d/a", "1")
		put("d/gone", "1")
		put("e/a", "1")
		m := mountBucket(t, s, bucket, "--list-ttl", "1h")
		shell(t, "cat "+m.path("d/a")+" "+m.path("e/a")+"; ls -lR "+m.path("")+"; ! ls "+m.path("d/new"))
		put("d/a", "second")
		put("d/new", "new")
		put("e/a", "second")
		if _, _, err := s.call("DELETE", bucket, "d/gone", nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := read(t, m.path("d/a")); string(got) != "1" {
			t.Fatalf("read %q before the refresh", got)
		}
		m.succeed("refresh", m.path("d"))
		for name, want := range map[string]string{"d/a": "second", "d/new": "new", "e/a": "1"} {
			if got := read(t, m.path(name)); string(got) != want {
				t.Errorf("%s reads %q, want %q", name, got, want)
			}
		}
		if _, err := os.Stat(m.path("d/gone")); !os.IsNotExist(err) {
			t.Errorf("what was deleted: %v", err)
		}
		m.succeed("refresh", m.path(""))
		if got := read(t, m.path("e/a")); string(got) != "second" {
			t.Errorf("after a refresh of everything it reads %q", got)
		}
	})
}
