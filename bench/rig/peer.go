package rig

import (
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Place is where a bucket is to be mounted, and from where.
type Place struct {
	Endpoint, Bucket     string
	AccessKey, SecretKey string
	Dir                  string   // the mountpoint
	Cache                string   // on a disk; empty for a cold mount
	Flags                []string // more flags, for s3mount only
}

// Peer is a program that mounts a bucket.
type Peer struct {
	Name string
	// Settle is how long it waits after a close, by choice, before it sends.
	Settle time.Duration
	// Options is what the report says about how it was run.
	Options string

	bin     string
	command func(bin string, p Place) *exec.Cmd
	missing string // what to do when bin is not there
}

// Find tells whether the program is there.
func (p *Peer) Find() error {
	path, err := exec.LookPath(p.bin)
	if err != nil {
		return fmt.Errorf("%s is missing (%s)", p.Name, p.missing)
	}
	p.bin = path
	return nil
}

// Own is s3mount itself.
const Own = "s3mount"

// Peers are all that can be compared, s3mount first. bin is the binary of
// s3mount, tools is a directory that is looked into before PATH.
func Peers(bin string, tool func(string) string) []*Peer {
	return []*Peer{
		{Name: Own, bin: bin, command: s3mountCommand, Settle: time.Second, missing: "make build",
			Options: "defaults"},
		{Name: "rclone", bin: tool("rclone"), command: rcloneTuned, Settle: time.Second, missing: rcloneMissing,
			Options: strings.Join(rcloneFast, " ")},
		{Name: "rclone-default", bin: tool("rclone"), command: rcloneDefault, Settle: 5 * time.Second, missing: rcloneMissing,
			Options: strings.Join(rcloneBase, " ")},
		{Name: "s3fs", bin: "s3fs", command: s3fsCommand, missing: "apt-get install s3fs",
			Options: strings.Join(s3fsOptions, " ")},
	}
}

const rcloneMissing = "go install github.com/rclone/rclone@v1.75.1"

func s3mountCommand(bin string, p Place) *exec.Cmd {
	args := []string{"mount", "--foreground", "--endpoint", p.Endpoint, "--path-style", "always", "--cache-dir", p.Cache}
	args = append(args, p.Flags...)
	return exec.Command(bin, append(args, p.Bucket, p.Dir)...)
}

var (
	rcloneBase = []string{"--vfs-cache-mode", "full", "--dir-cache-time", "1h"}
	// rcloneFast is set for streams of large files on a line with a round trip
	// of tens of milliseconds.
	rcloneFast = append(rcloneBase[:len(rcloneBase):len(rcloneBase)],
		"--vfs-read-chunk-streams", "16", "--vfs-read-chunk-size", "4M", "--vfs-read-chunk-size-limit", "64M",
		"--vfs-read-ahead", "128M", "--buffer-size", "32M", "--vfs-fast-fingerprint", "--attr-timeout", "10s",
		"--s3-upload-concurrency", "16", "--s3-chunk-size", "16M", "--transfers", "8", "--vfs-write-back", "1s")
)

func rcloneTuned(bin string, p Place) *exec.Cmd   { return rcloneCommand(bin, p, rcloneFast) }
func rcloneDefault(bin string, p Place) *exec.Cmd { return rcloneCommand(bin, p, rcloneBase) }

func rcloneCommand(bin string, p Place, options []string) *exec.Cmd {
	args := []string{"mount", "--config", "/dev/null", "--s3-provider", "Other", "--s3-env-auth",
		"--s3-endpoint", p.Endpoint, "--s3-region", "us-east-1", "--cache-dir", p.Cache, "--log-level", "NOTICE"}
	args = append(args, options...)
	return exec.Command(bin, append(args, ":s3:"+p.Bucket, p.Dir)...)
}

var s3fsOptions = []string{"-o", "parallel_count=20", "-o", "multireq_max=20", "-o", "multipart_size=16", "-o", "max_stat_cache_size=200000"}

func s3fsCommand(bin string, p Place) *exec.Cmd {
	args := []string{p.Bucket, p.Dir, "-f", "-o", "url=" + p.Endpoint, "-o", "use_path_request_style",
		"-o", "tmpdir=" + p.Cache, "-o", "use_cache=" + p.Cache}
	return exec.Command(bin, append(args, s3fsOptions...)...)
}
