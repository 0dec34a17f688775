//go:build linux

package tests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// cacheStats is what `cache stats --json` says of a mount.
type cacheStats struct {
	Limit      int64 `json:"limit"`
	Bytes      int64 `json:"bytes"`
	FromDisk   int64 `json:"from_disk"`
	FromBucket int64 `json:"from_bucket"`
}

func (m *mount) cacheStats() cacheStats {
	m.t.Helper()
	var all []cacheStats
	r := m.succeed("cache", "stats", m.dir, "--json")
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || len(all) != 1 {
		m.t.Fatalf("cache stats: %v: %s%s", err, r.stdout, r.stderr)
	}
	return all[0]
}

// succeed runs a command that has to succeed.
func (m *mount) succeed(args ...string) result {
	m.t.Helper()
	r := run(m.t, m.srv.environ(m.t), patient(time.Minute), args...)
	if r.code != 0 {
		m.t.Fatalf("%v: exit %d: %s", args, r.code, r.stderr)
	}
	return r
}

// TestCacheCommands warms a folder, reads it without the bucket, evicts one file of it and
// clears the rest.
func TestCacheCommands(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		files := map[string][]byte{"day1/a.mov": noise(1, 9<<20+1), "day1/sub/b.mov": noise(2, 3<<20), "day1/c d.txt": noise(3, 100), "other": noise(4, 1<<20)}
		for name, data := range files {
			if err := s.put(bucket, name, data); err != nil {
				t.Fatal(err)
			}
		}
		front, p := through(t, s)
		m := mountBucket(t, front, bucket, "--cache-size=32MiB")
		if st := m.cacheStats(); st.Limit != 32<<20 || st.Bytes != 0 {
			t.Errorf("at the start: %+v", st)
		}
		out := m.succeed("warm", m.path("day1")).stdout
		if !strings.Contains(out, "3 files") {
			t.Errorf("warm says %q", out)
		}
		p.reset()
		m.succeed("warm", m.path("day1")) // all of it is there
		for name, data := range files {
			if name != "other" {
				m.readWhole(name, data)
			}
		}
		if n := len(p.gets()); n != 0 {
			t.Errorf("%d GETs for what was warmed", n)
		}
		if st := m.cacheStats(); st.Bytes < 12<<20 || st.FromDisk < 12<<20 {
			t.Errorf("after reading: %+v", st)
		}
		m.succeed("cache", "evict", m.path("day1/a.mov"))
		if st := m.cacheStats(); st.Bytes > 4<<20 || st.Bytes < 3<<20 {
			t.Errorf("after evict: %+v", st)
		}
		m.succeed("cache", "clear", m.dir)
		if st := m.cacheStats(); st.Bytes != 0 {
			t.Errorf("after clear: %+v", st)
		}
		m.remount()
		p.reset()
		m.readWhole("day1/a.mov", files["day1/a.mov"])
		if len(p.gets()) == 0 {
			t.Error("read from a cache that was cleared")
		}
		for _, args := range [][]string{{"warm", m.path("nothing")}, {"cache", "evict", m.path("nothing")}} {
			if r := run(t, m.srv.environ(t), patient(time.Minute), args...); r.code == 0 || !strings.Contains(r.stderr, "nothing at") {
				t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
			}
		}
		if err := s.put(bucket, "large", make([]byte, 40<<20)); err != nil {
			t.Fatal(err)
		}
		if r := run(t, m.srv.environ(t), patient(time.Minute), "warm", m.path("large")); r.code == 0 || !strings.Contains(r.stderr, "--cache-size") {
			t.Errorf("warm of more than fits: exit %d: %s", r.code, r.stderr)
		}
		m.unmount()
	})
}
