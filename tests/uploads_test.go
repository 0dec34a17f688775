//go:build linux

package tests

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestUploads lists and aborts what another program has left, and nothing else.
func TestUploads(t *testing.T) {
	s, g := gated(t, embedded(t))
	m := newMount(t, s)
	create := func(key string) string {
		b, _, err := s.call("POST", m.bucket, key, url.Values{"uploads": {""}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`<UploadId>(.*)</UploadId>`).FindStringSubmatch(string(b))[1]
	}
	id := create("other/tool.bin")
	if _, _, err := s.call("PUT", m.bucket, "other/tool.bin", url.Values{"uploadId": {id}, "partNumber": {"1"}}, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.path("d"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(m.path("d", "own.mov"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 30<<20)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() error {
		if n, _, err := s.uploadedParts(m.bucket, "d/own.mov"); n == 0 || err != nil {
			return fmt.Errorf("%d parts, %v", n, err)
		}
		return nil
	})
	bucket := []string{"--endpoint", s.endpoint, "--cache-dir", m.cache}
	list := func(args ...string) map[string]string {
		t.Helper()
		r := m.want(0, "", append([]string{"uploads", "--json"}, args...)...)
		var all []struct {
			Key, Owner      string
			Orphan, Aborted bool
			Bytes           int64
			Parts           int
		}
		if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
			t.Fatalf("%v: %s", err, r.stdout)
		}
		got := map[string]string{}
		for _, u := range all {
			got[u.Key] = fmt.Sprint(u.Owner, " ", u.Orphan, u.Aborted)
			if u.Key == "other/tool.bin" && (u.Bytes != 1000 || u.Parts != 1) {
				t.Errorf("%+v, want 1000 bytes in one part", u)
			}
		}
		return got
	}
	own := "mount " + m.dir + " false false"
	for _, target := range [][]string{{m.dir}, append([]string{m.bucket}, bucket...)} {
		if got := list(target...); len(got) != 2 || got["other/tool.bin"] != " false false" || got["d/own.mov"] != own {
			t.Errorf("uploads %v: %v", target, got)
		}
		if got := list(append(target, "--abort-orphans")...); got["other/tool.bin"] != " false false" {
			t.Errorf("a young one: %v", got)
		}
	}
	g.set(gateDenied)
	m.want(1, "1 upload could not be aborted", "uploads", "--abort-orphans", "--older-than=0s", m.dir)
	g.set(gateOpen)

	f.Close()
	g.set(gateSilent)
	m.kill() // the journal owns it now
	g.set(gateOpen)
	dead := append([]string{m.bucket, "--abort-orphans", "--older-than=0s"}, bucket...)
	if got := list(dead...); got["other/tool.bin"] != " true true" || !strings.HasPrefix(got["d/own.mov"], "journal "+m.cache) {
		t.Errorf("after the kill: %v", got)
	}
	m.start()
	m.want(0, "", "wait", m.dir)
	if n, _, err := s.sha256(m.bucket, "d/own.mov"); n != 30<<20 || err != nil {
		t.Errorf("own.mov: %d bytes, %v", n, err)
	}
	m.want(0, "no unfinished uploads", "uploads", m.dir)
	m.want(1, `no time span`, "uploads", "--older-than=soon", m.dir)
	m.want(1, `no bucket name`, "uploads", "Not_A_Bucket!")
	// What does not begin as a path is a bucket, also for who works in the mount.
	r := runCommand(t, s.environ(t), patient(time.Minute), "sh", "-c", `cd "$0" && exec "$1" uploads 'Not_A_Bucket!'`, m.dir, binary(t))
	if r.code != 1 || !strings.Contains(r.stderr, "no bucket name") {
		t.Errorf("uploads of a bucket, in the mount: exit %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	m.unmount()
}

// TestLostUploadIsListed: the mount died before it had the ID of an upload. It is
// listed, also by a server that lists uploads by whole keys only, is never taken for
// the mount's own, and goes when it is asked for.
func TestLostUploadIsListed(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		s, g := gated(t, s)
		m := newMount(t, s)
		if err := os.Mkdir(m.path("d"), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(m.path("d", "lost.mov"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		g.set(gateMute)
		if _, err := f.Write(make([]byte, 20<<20)); err != nil {
			t.Fatal(err)
		}
		left := func() int {
			t.Helper()
			b, _, err := s.call("GET", m.bucket, "", url.Values{"uploads": {""}, "prefix": {"d/lost.mov"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Count(string(b), "<UploadId>")
		}
		eventually(t, 30*time.Second, func() error {
			if left() == 0 {
				return fmt.Errorf("no upload was created")
			}
			return nil
		})
		m.kill()
		g.set(gateOpen)
		f.Close()
		m.start()
		m.want(0, `d/lost\.mov .*too young to be an orphan`, "uploads", m.dir)
		m.want(0, `d/lost\.mov .*aborted`, "uploads", "--abort-orphans", "--older-than=0s", m.dir)
		if n := left(); n != 0 {
			t.Errorf("%d uploads are left", n)
		}
		m.want(0, `no unfinished uploads`, "uploads", m.dir)
		m.unmount()
	})
}
