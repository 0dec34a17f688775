package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// parse is the mount command of a command line.
func parse(t *testing.T, args ...string) (*mountCmd, error) {
	t.Helper()
	var grammar cli
	parser, err := newParser(&grammar, streams{new(bytes.Buffer), new(bytes.Buffer)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"mount"}, args...))
	return &grammar.Mount, err
}

func TestMountFlags(t *testing.T) {
	dir := t.TempDir()
	// Flags and positionals in any order, both ways to give a value.
	c, err := parse(t, "--endpoint=http://127.0.0.1:9000", "footage/day1", "--cache-dir", dir, "--memory", "256MiB", dir+"/mnt",
		"--read-only", "--uid=7", "--umask", "027", "--list-ttl=3s", "--part-size=16MiB", "--sse-kms-key", "k1", "--close=bucket")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := c.config(nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Bucket != "footage" || cfg.Prefix != "day1/" || cfg.Mountpoint != dir+"/mnt" || cfg.CacheDir != dir {
		t.Errorf("places: %+v", cfg)
	}
	if cfg.Memory != 256<<20 || cfg.PartSize != 16<<20 || cfg.ListTTL != 3*time.Second || cfg.Settle != time.Second || cfg.FsyncTimeout != time.Minute {
		t.Errorf("numbers: %+v", cfg)
	}
	if !cfg.ReadOnly || cfg.UID != 7 || cfg.GID != uint32(os.Getgid()) || cfg.Umask != 0o27 {
		t.Errorf("owner and mode: %+v", cfg)
	}
	if cfg.S3.SSE != "aws:kms" || cfg.S3.SSEKMSKey != "k1" || cfg.S3.Bucket != "footage" || cfg.S3.PathStyle != "auto" {
		t.Errorf("bucket: %+v", cfg.S3)
	}
	if cfg.Close != "bucket" || cfg.Fsync != "bucket" {
		t.Errorf("safety: %+v", cfg)
	}
}

// TestPartSize is fixed where a store wants equal parts.
func TestPartSize(t *testing.T) {
	for endpoint, want := range map[string]int64{
		"": 0, "http://127.0.0.1:9000": 0, "https://r2.example.com": 0,
		"https://abc.r2.cloudflarestorage.com": 32 << 20, "https://abc.eu.r2.cloudflarestorage.com:443/": 32 << 20,
	} {
		if got := partSize(endpoint); got != want {
			t.Errorf("%q: %d bytes instead of %d", endpoint, got, want)
		}
	}
}

func TestMountFlagsRefused(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string
	}{
		{"--endpoint 127.0.0.1:9000", "endpoint.*http"},
		{"--endpoint ftp://x", "endpoint.*http"},
		{"--endpoint http://key:hush@x", "endpoint.*password"},
		{"--endpoint http://x/?a=b", "query"},
		{"--memory 1KiB", "--memory 1KiB is too little.*64MiB"},
		{"--memory 100MiB --readahead-max 200MiB", "readahead-max"},
		{"--part-size 1MiB", "part-size"},
		{"--settle=-1s", "settle.*negative"},
		{"--anonymous --profile x", "anonymous"},
		{"--sse AES256 --sse-kms-key k", "aws:kms"},
		{"--sse nonsense", "sse"},
		{"--acl nonsense", "acl"},
		{"--close maybe", "close"},
		{"--fsync never", "fsync"},
		{"--log-level loud", "log-level"},
		{"--umask 999", "umask"},
		{"--uid x", "uid"},
		{"--gid -1", "gid"},
		{"--path-style maybe", "path-style"},
		{"--no-such-flag", "no-such-flag"},
	} {
		c, err := parse(t, append(strings.Fields(tt.args), "bucket", filepath.Join(t.TempDir(), "mnt"))...)
		if err == nil {
			_, err = c.config(nil)
		}
		if err == nil {
			t.Errorf("%s is accepted", tt.args)
			continue
		}
		if text := line(err); !regexp.MustCompile(tt.want).MatchString(text) || strings.Contains(text, "hush") {
			t.Errorf("%s: %q, want it to match %q", tt.args, text, tt.want)
		}
	}
}

// TestRun runs whole command lines that end before any mount.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		stderr string // the one line
	}{
		{args: "version", stdout: "^s3mount "},
		{args: "", stdout: "Examples:"},
		{args: "mount --help", stdout: "--cache-dir=DIR"},
		{args: "mout", code: 1, stderr: "^s3mount: .*mout.*: see s3mount --help\n$"},
		{args: "mount bucket", code: 1, stderr: "^s3mount: .*mountpoint.*: see s3mount mount --help\n$"},
		{args: "mount Not_A_Bucket! /x", code: 1, stderr: "^s3mount: .*Not_A_Bucket!.*: see s3mount mount --help\n$"},
		{args: "wait /nowhere/at/all", code: 1, stderr: "^s3mount: /nowhere/at/all is in no mount of this user: .*\n$"},
		{args: "umount /nowhere/at/all", code: 1, stderr: "^s3mount: .* is no mountpoint of s3mount: .*\n$"},
		{args: "mount --foreground --cache-dir /tmp bucket /nowhere/at/all", code: 1, stderr: "^s3mount: .*not exist: .*mkdir.*\n$"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || !regexp.MustCompile(tt.stdout).MatchString(stdout.String()) || !regexp.MustCompile(tt.stderr).MatchString(stderr.String()) {
			t.Errorf("%q: exit %d\nstdout %s\nstderr %s", tt.args, code, &stdout, &stderr)
		}
		if lines := strings.Count(stderr.String(), "\n"); lines > 1 {
			t.Errorf("%q: %d lines on stderr:\n%s", tt.args, lines, &stderr)
		}
	}
}
