//go:build linux

package tests

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// smbSuites are those of Samba's own tests that ask for the file system below: sizes set
// before writing, streams, locks, copies on the server, renames and deletions of open
// files, and what Macs do. Those of leases, notifications and sessions do not.
var smbSuites = []string{
	"smb2.create", "smb2.read", "smb2.rw", "smb2.mkdir", "smb2.lock", "smb2.openattr", "smb2.winattr", "smb2.rename",
	"smb2.streams", "smb2.ioctl", "smb2.delete-on-close-perms", "smb2.getinfo", "smb2.fileid",
	"smb2.dir.find", "smb2.dir.fixed", "smb2.dir.sorted", "vfs.streams_xattr", "vfs.fruit", "vfs.fruit_file_id",
}

// TestSMBTorture runs them on a share of the mount and on one of a local directory, with
// one configuration: what passes there has to pass here. Some pass on neither.
func TestSMBTorture(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		m, b := sambaMount(t, s)
		local := t.TempDir()
		shell(t, "chmod 711 "+local+"/.. && chown "+sambaUser+" "+local)
		b.stop()
		text := string(read(t, b.conf))
		share := text[strings.Index(text, "[footage]"):]
		text = strings.Replace(text, "nfs_aces = no", "nfs_aces = yes\n   fruit:copyfile = yes", 1) + // they want all of Apple's extensions
			strings.NewReplacer("[footage]", "[local]", m.dir, local).Replace(share)
		write(t, b.conf, []byte(text))
		b.start()
		passed := 0
		for _, suite := range smbSuites {
			want, _ := b.torture("local", suite)
			got, out := b.torture("footage", suite)
			for name := range want {
				passed++
				if !got[name] {
					t.Errorf("%s: %q passes on a local directory, not on the mount:\n%s", suite, name, reason(out, name))
				}
			}
		}
		t.Logf("%d tests of smbtorture pass on both", passed)
		if passed < 50 {
			t.Errorf("only %d tests of smbtorture passed on a local directory", passed)
		}
	})
}

var tortureSuccess = regexp.MustCompile(`(?m)^success: (.*)$`)

// torture runs a suite on a share, and returns what passed and all that was said.
func (b *samba) torture(share, suite string) (map[string]bool, string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "smbtorture", "--configfile="+b.conf, "--smb-ports="+b.port,
		"--user="+sambaUser+"%"+sambaPassword, "//127.0.0.1/"+share, suite)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput() // fails where any test of the suite does
	if cmd.ProcessState == nil || ctx.Err() != nil {
		b.t.Fatalf("smbtorture %s: %v, %v\n%s", suite, err, ctx.Err(), tail(string(out), 2000))
	}
	passed := map[string]bool{}
	for _, m := range tortureSuccess.FindAllStringSubmatch(string(out), -1) {
		passed[m[1]] = true
	}
	return passed, string(out)
}

// reason is what smbtorture said of a test.
func reason(out, name string) string {
	_, out, _ = strings.Cut(out, "test: "+name+"\n")
	out, _, _ = strings.Cut(out, "\ntest: ")
	return tail(out, 1000)
}
