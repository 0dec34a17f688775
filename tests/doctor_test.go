//go:build linux

package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDoctorJSON: what is well and what is not, in the words of docs/STATUS.md, with the
// exit code of the text form, and without secrets.
func TestDoctorJSON(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(world.source, "../docs/STATUS.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := minio(t)
	bucket := s.bucket(t)
	denied, g := gated(t, s)
	g.set(gateDenied)
	for name, tt := range map[string]struct {
		env    []string
		args   []string
		failed []string
		last   string // check
	}{
		"well":      {environ(t, s.access, s.secret), []string{bucket, "--endpoint", s.endpoint}, nil, "multipart upload"},
		"read only": {environ(t, s.access, s.secret), []string{bucket, "--endpoint", s.endpoint, "--read-only"}, nil, "read"},
		"machine":   {environ(t, s.access, s.secret), nil, nil, "memory"},
		"keys":      {environ(t, s.access, "another-secret"), []string{bucket, "--endpoint", s.endpoint}, []string{"credentials"}, "credentials"},
		"no server": {environ(t, s.access, s.secret), []string{bucket, "--endpoint", "http://127.0.0.1:1"}, []string{"endpoint"}, "endpoint"},
		"no bucket": {environ(t, s.access, s.secret), []string{bucket + "-absent", "--endpoint", s.endpoint}, []string{"bucket"}, "bucket"},
		"denied":    {environ(t, s.access, s.secret), []string{bucket, "--endpoint", denied.endpoint}, []string{"write", "multipart upload"}, "multipart upload"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"doctor", "--json", "--cache-dir", t.TempDir()}, tt.args...)
			r := run(t, tt.env, patient(time.Minute), args...)
			var found []struct {
				Check, Detail, Remedy string
				OK                    bool
			}
			if err := json.Unmarshal([]byte(r.stdout), &found); err != nil || r.stderr != "" {
				t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
			}
			var failed []string
			for _, f := range found {
				if !strings.Contains(string(doc), "\n| "+f.Check+" | ") {
					t.Errorf("docs/STATUS.md does not know the check %q", f.Check)
				}
				if f.OK == (f.Remedy != "") || f.Detail == "" {
					t.Errorf("not whole: %+v", f)
				}
				if !f.OK {
					failed = append(failed, f.Check)
				}
			}
			if !slices.Equal(failed, tt.failed) || found[len(found)-1].Check != tt.last {
				t.Errorf("%q failed, want %q; the last should be %q:\n%s", failed, tt.failed, tt.last, r.stdout)
			}
			if want := min(len(failed), 1); r.code != want {
				t.Errorf("exit %d, want %d", r.code, want)
			}
			for _, secret := range []string{s.secret, "another-secret"} {
				if strings.Contains(r.stdout, secret) {
					t.Errorf("a secret is printed:\n%s", r.stdout)
				}
			}
		})
	}
}
