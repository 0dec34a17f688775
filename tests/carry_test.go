//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"testing"
)

// TestWhatOtherClientsGaveAnObjectStays through everything that writes it anew.
func TestWhatOtherClientsGaveAnObjectStays(t *testing.T) {
	carried := http.Header{
		"Content-Type":        {"video/x-dnxhd"},
		"Cache-Control":       {"no-store"},
		"Content-Disposition": {"inline"},
		"Content-Language":    {"de"},
		"Expires":             {"Wed, 21 Oct 2037 07:28:00 GMT"},
		"X-Amz-Meta-Color":    {"red"},
	}
	given := carried.Clone()
	given.Set("X-Amz-Tagging", "project=a%2Bb&state=raw")
	tags := map[string]string{"project": "a+b", "state": "raw"}
	large := bytes.Repeat([]byte("0123456789abcdef"), 20<<16)
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		for name, body := range map[string][]byte{
			"put": []byte("bytes"), "parts": large, "anew": []byte("bytes"), "large-anew": []byte("bytes"), "mode": []byte("bytes"), "old": []byte("bytes"), "dir/a": []byte("bytes"),
		} {
			if err := s.putWith(bucket, name, body, given); err != nil {
				t.Fatal(err)
			}
		}
		m := mountBucket(t, s, bucket)
		shell(t, fmt.Sprintf(`cd %s
			printf X | dd of=put conv=notrunc status=none
			printf X | dd of=parts conv=notrunc status=none
			printf other > anew
			head -c 20000000 /dev/zero > large-anew
			chmod 600 mode
			mv old new
			mv dir dir2`, m.dir))
		m.unmount()
		for _, name := range []string{"put", "parts", "anew", "large-anew", "mode", "new", "dir2/a"} {
			h, err := s.head(bucket, name)
			if err != nil {
				t.Fatal(err)
			}
			for k := range carried {
				if k == "Expires" && name == "dir2/a" && s.name == "minio" {
					continue // it does not copy that
				}
				if h.Get(k) != carried.Get(k) {
					t.Errorf("%s has %s %q, want %q", name, k, h.Get(k), carried.Get(k))
				}
			}
			if got, err := s.tags(bucket, name); err != nil || !maps.Equal(got, tags) {
				t.Errorf("%s has the tags %v, %v; want %v", name, got, err, tags)
			}
		}
	})
}
