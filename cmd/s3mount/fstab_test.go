package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFromMount: the command lines that mount(8) and mount.fuse3 make.
func TestFromMount(t *testing.T) {
	for _, tt := range []struct {
		line string // program and arguments
		want string // arguments, and whether mount(8) asked
	}{
		{"/usr/bin/s3mount status /mnt/a", "status /mnt/a|false"},
		{"s3mount mount b3b /mnt/a", "mount b3b /mnt/a|false"},
		{"s3mount mount /mnt/a -o rw", "mount /mnt/a -o rw|false"}, // a bucket of the name of a command needs s3://
		{"s3mount footage/day1 /mnt/a -o rw,dev,suid", "mount --fsname=footage/day1 -- footage/day1 /mnt/a|true"},
		{"s3mount s3://mount /mnt/a -o ro", "mount --fsname=s3://mount --read-only -- s3://mount /mnt/a|true"},
		{"/sbin/mount.s3mount s3://footage /mnt/a", "mount --fsname=s3://footage -- s3://footage /mnt/a|true"},
		{"/sbin/mount.fuse.s3mount footage /mnt/a -sn -v -o ro,unheard=1 -t fuse.s3mount", "mount --fsname=footage --read-only -- footage /mnt/a|true"},
		{"/sbin/mount.fuse.s3mount footage /mnt/a -o allow_other -oumask=027 -N 7", "mount --fsname=footage --allow-other --umask=027 -- footage /mnt/a|true"},
		{"/sbin/mount.fuse.s3mount footage /mnt/a -o fsname=x", "mount --fsname=x -- footage /mnt/a|true"},
		{"/sbin/mount.fuse.s3mount footage /mnt/a -f -o ro", "|true"},
	} {
		words := strings.Fields(tt.line)
		args, asked, err := fromMount(words[0], words[1:])
		if got := fmt.Sprintf("%s|%v", strings.Join(args, " "), asked); got != tt.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", tt.line, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ line, want string }{
		{"mount.s3mount footage", "1 arguments.*mount -t"},
		{"mount.s3mount footage /a /b", "3 arguments"},
		{"mount.s3mount footage /a -o", "-o has no value"},
		{"mount.s3mount /nowhere/footage /mnt/a -o rw", "is a path, not a bucket.*s3://"},
		{"s3mount footage /mnt/a -o rw,unheard=secret", `unknown mount option "unheard": .*s3mount mount --help`},
	} {
		words := strings.Fields(tt.line)
		_, _, err := fromMount(words[0], words[1:])
		if err == nil || !regexp.MustCompile(tt.want).MatchString(err.Error()) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", tt.line, err, tt.want)
		}
	}
}

// TestMountOptions: what a line of fstab may say, and what it becomes.
func TestMountOptions(t *testing.T) {
	for _, tt := range []struct{ options, want string }{
		{"", ""},
		{"defaults,rw,_netdev,nofail,noauto,user,nodev,nosuid,dev,suid,exec,noatime,relatime", ""},
		{"x-systemd.automount,x-systemd.mount-timeout=10min,X-any,comment=any,uhelper=fuse.s3mount", ""},
		{"ro,noexec", "--read-only --noexec"},
		{"ro,rw", ""},
		{"rw,ro", "--read-only"},
		{"allow_other,endpoint=http://127.0.0.1:9000,path_style=always", "--allow-other --endpoint=http://127.0.0.1:9000 --path-style=always"},
		{"uid=7,gid=8,umask=027,cache-size=0,,", "--uid=7 --gid=8 --umask=027 --cache-size=0"},
		{`cache-dir="/var/a,b",ro`, "--cache-dir=/var/a,b --read-only"},
		{`log-file=/a"b,ro`, "--log-file=/ab --read-only"},
	} {
		got, err := mountOptions(tt.options, false)
		if strings.Join(got, " ") != tt.want || err != nil {
			t.Errorf("%s: %q, %v, want %s", tt.options, got, err, tt.want)
		}
		if _, err := parse(t, append(got, "--", "footage", "/mnt")...); err != nil {
			t.Errorf("%s: the command line refuses %q: %v", tt.options, got, err)
		}
	}
	for _, tt := range []struct{ options, want string }{
		{"sync", "close=bucket"}, {"remount,ro", "unmount, and mount again"}, {"foreground", "never return"}, {"allow_root", "allow_other"},
		{"endpoint", "has no value"}, {"allow_other=1", "takes no value"}, {"unheard", "unknown"}, {"bind", "unknown"}, {"f", "unknown"},
	} {
		if got, err := mountOptions(tt.options, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v, want an error about %s", tt.options, got, err, tt.want)
		}
	}
	if got, err := mountOptions("unheard=1,ro,other", true); !slices.Equal(got, []string{"--read-only"}) || err != nil {
		t.Errorf("sloppy: %q, %v", got, err)
	}
}

// TestBucketThatIsADirectory: mount(8) makes a path of a source that it finds below the
// working directory.
func TestBucketThatIsADirectory(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.MkdirAll("footage/day1", 0o700); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		dir + "/footage/day1": "footage/day1", "footage": "footage", "s3://footage": "s3://footage", dir: "", "/footage": "",
	} {
		if got, err := bucketOf(source); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", source, got, err, want)
		}
	}
}
