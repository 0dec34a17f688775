//go:build linux

package tests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sambaFlags are the mount's flags that docs/SAMBA.md gives, but the owner.
var sambaFlags = []string{"--allow-other", "--umask=002", "--fsync=journal", "--list-ttl=30s"}

// sambaUser logs in, and owns what is written. It exists wherever Samba is packaged.
const (
	sambaUser     = "daemon"
	sambaPassword = "s3mount-tests"
)

// samba is an SMB server of its own for one mount, with the share of docs/SAMBA.md.
type samba struct {
	t    *testing.T
	conf string
	port string
	dir  string // of the client: where it gets files to, and puts them from
	cmd  *exec.Cmd
	log  *syncBuffer
}

// sambaMount mounts with the documented flags, and shares the mount.
func sambaMount(t *testing.T, s *server) (*mount, *samba) {
	t.Helper()
	if !long() {
		t.Skip("LONG=1 shares a mount by Samba; it needs smbd, smbclient and smbtorture")
	}
	if os.Getuid() != 0 {
		t.Skip("smbd takes on the user of its client, which needs root")
	}
	u, err := user.Lookup(sambaUser)
	if err != nil {
		t.Skipf("no user to write as: %v", err)
	}
	m := newMount(t, s, append([]string{"--uid=" + u.Uid, "--gid=" + u.Gid}, sambaFlags...)...)
	if err := os.Chmod(filepath.Dir(m.dir), 0o711); err != nil { // TempDir lets nobody else through
		t.Fatal(err)
	}
	return m, newSamba(t, m)
}

func newSamba(t *testing.T, m *mount) *samba {
	t.Helper()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	b := &samba{t: t, port: port, dir: t.TempDir(), log: &syncBuffer{}}
	b.conf = writeSambaConf(t, m.dir, port)
	add := exec.Command(sbin("pdbedit"), "--configfile="+b.conf, "--create", "--user="+sambaUser, "--password-from-stdin")
	add.Stdin = strings.NewReader(sambaPassword + "\n" + sambaPassword + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("pdbedit: %v\n%s", err, out)
	}
	t.Cleanup(b.stop)
	b.start()
	return b
}

// sbin finds a program that is not in the path of every user.
func sbin(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return "/usr/sbin/" + name
}

var sambaBlock = regexp.MustCompile("(?s)```ini\n(.*?)```")

// writeSambaConf writes the documented configuration with the mount's path and this
// test's user, and with all that smbd keeps below a directory of its own.
func writeSambaConf(t *testing.T, path, port string) string {
	t.Helper()
	page := string(read(t, filepath.Join(world.source, "../docs/SAMBA.md")))
	for _, flag := range sambaFlags {
		if !strings.Contains(page, flag) {
			t.Errorf("docs/SAMBA.md does not mount with %s", flag)
		}
	}
	block := sambaBlock.FindStringSubmatch(page)
	if block == nil {
		t.Fatal("docs/SAMBA.md has no smb.conf")
	}
	dir := t.TempDir()
	private := "[global]\nserver role = standalone server\ninterfaces = 127.0.0.1\nbind interfaces only = yes\n" +
		"disable netbios = yes\nload printers = no\ndisable spoolss = yes\nlog level = 1\nmax log size = 0\nsmb ports = " + port + "\n"
	for _, kind := range []string{"lock directory", "state directory", "cache directory", "private dir", "pid directory", "ncalrpc dir"} {
		sub := filepath.Join(dir, strings.Fields(kind)[0])
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		private += kind + " = " + sub + "\n"
	}
	text := strings.NewReplacer("[global]\n", private, "/mnt/footage", path, "media", sambaUser).Replace(block[1])
	conf := filepath.Join(dir, "smb.conf")
	write(t, conf, []byte(text))
	if out, err := exec.Command("testparm", "--suppress-prompt", conf).CombinedOutput(); err != nil || strings.Contains(string(out), "nknown parameter") || strings.Contains(string(out), "deprecated") {
		t.Errorf("testparm: %v\n%s", err, out)
	}
	return conf
}

// start starts smbd and waits until it takes connections.
func (b *samba) start() {
	b.t.Helper()
	b.cmd = exec.Command(sbin("smbd"), "--foreground", "--no-process-group", "--debug-stdout", "--configfile="+b.conf)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	b.cmd.WaitDelay = 20 * time.Second
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, 30*time.Second, func() error {
		c, err := net.Dial("tcp", "127.0.0.1:"+b.port)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// stop ends smbd with the processes of its clients, so that nothing is open on the mount.
func (b *samba) stop() {
	b.t.Helper()
	if b.cmd == nil || b.cmd.Process == nil {
		return
	}
	if b.t.Failed() {
		b.t.Logf("log of smbd:\n%s", tail(b.log.String(), 4000))
	}
	group := -b.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	_ = b.cmd.Wait()
	eventually(b.t, 30*time.Second, func() error {
		if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("processes of smbd are left: %v", err)
		}
		return nil
	})
	b.cmd = nil
}

// client is smbclient with the commands, separated by semicolons.
func (b *samba) client(commands string) *exec.Cmd {
	cmd := exec.Command("smbclient", "--configfile="+b.conf, "--port="+b.port, "--user="+sambaUser+"%"+sambaPassword,
		"//127.0.0.1/footage", "--command="+commands)
	cmd.Dir = b.dir
	return cmd
}

// do runs commands, all of which have to succeed, and returns what they said.
func (b *samba) do(commands string) string {
	b.t.Helper()
	out, err := b.client(commands).CombinedOutput()
	if err != nil || strings.Contains(string(out), "NT_STATUS_") {
		b.t.Errorf("%s: %v\n%s", commands, err, out)
	}
	return string(out)
}

// refuse runs commands of which one has to fail with the status.
func (b *samba) refuse(status, commands string) {
	b.t.Helper()
	if out, _ := b.client(commands).CombinedOutput(); !strings.Contains(string(out), status) {
		b.t.Errorf("%s: want %s, got\n%s", commands, status, out)
	}
}

// file is a path on the client's side.
func (b *samba) file(name string) string { return filepath.Join(b.dir, name) }
