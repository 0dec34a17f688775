//go:build linux

package tests

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// answer is a server that gives one S3 error to everything.
func answer(t *testing.T, status int, code, message string, header ...string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// blackHole accepts connections and never answers.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return "http://" + l.Addr().String()
}

// badInput is a mount that cannot be; everything that is not set is good.
type badInput struct {
	name     string
	endpoint string
	bucket   string
	access   string
	secret   string
	dir      string // the mountpoint
	flags    []string
	inside   string // a shell line that prepares a mount namespace of its own
	want     string // what the line on stderr must speak of
}

// TestBadInput runs the real binary with everything that can be wrong: one
// line on stderr, with cause and remedy, non-zero exit within 10 s, no mount.
func TestBadInput(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		bucket := s.bucket(t)
		for _, tt := range append(badServers(t, s), badPlaces(t)...) {
			t.Run(tt.name, func(t *testing.T) { tt.run(t, s, bucket) })
		}
	})
}

func badServers(t *testing.T, s *server) []badInput {
	return []badInput{
		{name: "unknown bucket", bucket: "no-such-bucket-here", want: `bucket.*(not exist|no such|unknown|not found)|(no such|unknown) bucket`},
		{name: "wrong secret", secret: "wrong", want: `(?i)secret|signature|credential`},
		{name: "wrong key", access: "AKIDUNKNOWN", want: `(?i)access key|credential`},
		{name: "no permission", endpoint: answer(t, 403, "AccessDenied", "Access Denied"), want: `(?i)permission|denied`},
		{name: "wrong region", endpoint: answer(t, 301, "PermanentRedirect", "wrong endpoint", "X-Amz-Bucket-Region", "eu-central-1"), want: `eu-central-1`},
		{name: "clock skew", endpoint: answer(t, 403, "RequestTimeTooSkewed", "too large"), want: `(?i)clock`},
		{name: "not S3", endpoint: answer(t, 404, "", "nothing here"), want: `(?i)bucket|S3|endpoint`},
		{name: "busy", endpoint: answer(t, 503, "SlowDown", "Please reduce your request rate."), want: `503.*try again`},
		{name: "login page", endpoint: answer(t, 302, "", "", "Location", "http://login.invalid/"), want: `(?i)login page`},
		{name: "endpoint down", endpoint: "http://127.0.0.1:1", want: `(?i)refused|reach|connect`},
		{name: "endpoint silent", endpoint: blackHole(t), want: `(?i)answer|time|respond`},
		{name: "endpoint no URL", endpoint: "not a url", want: `(?i)endpoint|url`},
		{name: "endpoint without scheme", endpoint: strings.TrimPrefix(s.endpoint, "http://"), want: `(?i)endpoint|http`},
	}
}

func badPlaces(t *testing.T) []badInput {
	dir := t.TempDir()
	file, full := filepath.Join(dir, "file"), filepath.Join(dir, "full")
	for _, path := range []string{file, filepath.Join(full, "x")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, nil)
	}
	small := t.TempDir()
	return []badInput{
		{name: "no dev fuse", inside: "mount -t tmpfs none /dev", want: `(?i)fuse`},
		{name: "mountpoint missing", dir: filepath.Join(dir, "absent"), want: `not exist.*mkdir`},
		{name: "mountpoint is a file", dir: file, want: `not a directory`},
		{name: "mountpoint not empty", dir: full, want: `not empty`},
		{name: "cache directory below a file", flags: []string{"--cache-dir", filepath.Join(file, "cache")}, want: `(?i)cache`},
		{name: "cache directory in memory", flags: []string{"--cache-dir", small},
			inside: "mount -t tmpfs none " + small, want: `tmpfs.*--allow-tmpfs`},
		{name: "cache directory read-only", flags: []string{"--cache-dir", small},
			inside: "mount --bind " + small + " " + small + " && mount -o remount,ro,bind " + small, want: `(?i)cache.*(writ|read-only)`},
		{name: "cache directory full", flags: []string{"--cache-dir", small, "--allow-tmpfs"},
			inside: "mount -t tmpfs -o size=64k none " + small + " && head -c 64k /dev/zero > " + small + "/fill || true", want: `(?i)cache|space`},
		{name: "memory nonsense", flags: []string{"--memory", "banana"}, want: `(?i)memory.*banana|banana.*memory`},
		{name: "memory negative", flags: []string{"--memory", "-1"}, want: `(?i)memory`},
		{name: "memory too small", flags: []string{"--memory", "1KiB"}, want: `(?i)memory`},
		{name: "path style nonsense", flags: []string{"--path-style", "maybe"}, want: `path-style`},
		{name: "log level nonsense", flags: []string{"--log-level", "loud"}, want: `log-level`},
		{name: "umask nonsense", flags: []string{"--umask", "999"}, want: `umask`},
		{name: "unknown flag", flags: []string{"--no-such-flag"}, want: `no-such-flag`},
		{name: "log file nowhere", flags: []string{"--log-file", filepath.Join(dir, "absent", "log")}, want: `(?i)log`},
		{name: "bucket name nonsense", bucket: "Not_A_Bucket!", want: `(?i)bucket`},
	}
}

func (b badInput) run(t *testing.T, s *server, bucket string) {
	dir := pick(b.dir, t.TempDir())
	args := []string{"mount", "--foreground", "--endpoint", pick(b.endpoint, s.endpoint), "--cache-dir", t.TempDir()}
	args = append(append(args, b.flags...), pick(b.bucket, bucket), dir)
	env := environ(t, pick(b.access, s.access), pick(b.secret, s.secret))
	name := binary(t)
	if b.inside != "" {
		args = append([]string{"-m", "sh", "-c", b.inside + `; exec "$0" "$@"`, name}, args...)
		name = "unshare"
	}
	limit := 10 * time.Second
	r := runCommand(t, env, limit, name, args...)
	if isMounted(dir) {
		t.Errorf("%s is mounted", dir)
		_ = runCommand(t, env, limit, "fusermount3", "-u", dir)
	}
	if r.code == 0 {
		t.Error("exit 0, want an error")
	}
	lines := strings.Split(strings.TrimRight(r.stderr, "\n"), "\n")
	if len(lines) != 1 || lines[0] == "" {
		t.Errorf("%d lines on stderr, want one:\n%s", len(lines), r.stderr)
	}
	if !regexp.MustCompile(b.want).MatchString(r.stderr) {
		t.Errorf("stderr = %q, want it to match %q", r.stderr, b.want)
	}
	t.Logf("%.1fs, exit %d: %s", r.took.Seconds(), r.code, strings.TrimSpace(r.stderr))
}

func pick(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// TestBadCommands runs the other commands with everything that can be wrong: one
// line on stderr, non-zero exit within 10 s.
func TestBadCommands(t *testing.T) {
	dir, env := t.TempDir(), environ(t, "key", "secret")
	hole := blackHole(t)
	for _, tt := range []struct {
		args string
		want string
	}{
		{"wait " + dir, "in no mount.*s3mount status"},
		{"wait " + dir + "/absent/deep", "in no mount"},
		{"wait --timeout=soon " + dir, "timeout.*s3mount wait --help"},
		{"wait --timeout=-1s " + dir, "negative.*give a time"},
		{"wait --no-such-flag", "no-such-flag.*s3mount wait --help"},
		{"status " + dir, "in no mount.*s3mount status"},
		{"status --jason", "jason.*s3mount status --help"},
		{"retry " + dir, "in no mount"},
		{"cancel", "path.*s3mount cancel --help"},
		{"cancel " + dir + "/a " + dir + "/b", "unexpected argument.*s3mount cancel --help"},
		{"cancel --yes " + dir + "/a", "in no mount"},
		{"umount " + dir, "no mountpoint of s3mount.*s3mount status"},
		{"umount", "mountpoint.*s3mount umount --help"},
		{"uploads", "bucket.*s3mount uploads --help"},
		{"uploads " + dir, "in no mount"},
		{"uploads x", "no bucket name.*s3mount uploads --help"},
		{"uploads --older-than=-1h bucket", "no time span.*12h or 7d"},
		{"uploads --endpoint=nowhere bucket", "endpoint"},
		{"uploads --endpoint=http://127.0.0.1:1 bucket", "(?i)refused|reach|connect"},
		{"uploads --endpoint=" + hole + " bucket", "does not answer within"},
		{"nonsense", "nonsense.*s3mount --help"},
	} {
		t.Run(strings.ReplaceAll(tt.args, dir, "DIR"), func(t *testing.T) {
			t.Parallel()
			r := run(t, env, patient(10*time.Second), strings.Fields(tt.args)...)
			if line := strings.TrimRight(r.stderr, "\n"); r.code != 1 || strings.Contains(line, "\n") || !strings.HasPrefix(line, "s3mount: ") || !regexp.MustCompile(tt.want).MatchString(line) {
				t.Errorf("exit %d, stderr %q; want exit 1 and one line that matches %q", r.code, r.stderr, tt.want)
			}
			if r.stdout != "" {
				t.Errorf("stdout %q, want nothing", r.stdout)
			}
		})
	}
}

// TestDaemon mounts without --foreground: the command returns when the mount
// answers, the mount stays, and umount ends it.
func TestDaemon(t *testing.T) {
	s := embedded(t)
	bucket, dir, cache, env := s.bucket(t), t.TempDir(), t.TempDir(), s.environ(t)
	args := []string{"mount", "--endpoint", s.endpoint, "--cache-dir", cache, "--log-file", filepath.Join(t.TempDir(), "log")}

	bad := run(t, env, 10*time.Second, append(args, "no-such-bucket-here", dir)...)
	if bad.code == 0 || !strings.Contains(bad.stderr, "bucket") || isMounted(dir) {
		t.Errorf("daemon of an unknown bucket: exit %d, stderr %q, mounted %v", bad.code, bad.stderr, isMounted(dir))
	}
	r := run(t, env, patient(10*time.Second), append(args, bucket, dir)...)
	if r.code != 0 || !isMounted(dir) {
		t.Fatalf("exit %d, mounted %v, stderr %q", r.code, isMounted(dir), r.stderr)
	}
	t.Cleanup(func() { _ = runCommand(t, env, 10*time.Second, "fusermount3", "-uz", dir) })
	again := run(t, env, 10*time.Second, append(args, bucket, dir)...)
	if again.code == 0 || !strings.Contains(again.stderr, "umount") {
		t.Errorf("a second mount at the same place: exit %d, stderr %q", again.code, again.stderr)
	}
	write(t, filepath.Join(dir, "a"), []byte("daemon"))
	if r := run(t, env, time.Minute, "umount", dir); r.code != 0 {
		t.Fatalf("umount: exit %d, %s", r.code, r.stderr)
	}
	if isMounted(dir) {
		t.Error("still mounted")
	}
	eventually(t, 30*time.Second, func() error {
		got, err := s.get(bucket, "a")
		if err == nil && string(got) != "daemon" {
			err = fmt.Errorf("in the bucket: %q", got)
		}
		return err
	})
}
