package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	mountLimit   = 20 * time.Second
	unmountLimit = 60 * time.Second // it may still upload
)

// Mount is a mounted bucket.
type Mount struct {
	Dir, Cache string

	process *process
}

// Mount runs a peer until its mount answers. The log goes beside the cache.
func (p *Peer) Mount(ctx context.Context, at Place) (*Mount, error) {
	if err := os.MkdirAll(at.Cache, 0o700); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(at.Dir, 0o700); err != nil {
		return nil, err
	}
	cmd := p.command(p.bin, at)
	cmd.Env = append(os.Environ(),
		"AWS_ACCESS_KEY_ID="+at.AccessKey, "AWS_SECRET_ACCESS_KEY="+at.SecretKey,
		"AWSACCESSKEYID="+at.AccessKey, "AWSSECRETACCESSKEY="+at.SecretKey, // of s3fs
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true")
	proc, err := start(cmd, filepath.Clean(at.Cache)+".log")
	if err != nil {
		return nil, err
	}
	m := &Mount{Dir: at.Dir, Cache: at.Cache, process: proc}
	if err := m.ready(ctx); err != nil {
		return nil, fmt.Errorf("mount %s: %w", p.Name, errors.Join(err, m.Unmount()))
	}
	return m, nil
}

// ready waits until another file system than that of the parent is there.
func (m *Mount) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mountLimit)
	defer cancel()
	for {
		if mounted(m.Dir) {
			return nil
		}
		if !m.process.running() {
			return fmt.Errorf("it has ended: %s", m.process.lastWords())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", ctx.Err(), m.process.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Unmount takes the mount away and waits until its process has ended, which
// means that it has uploaded all it will.
func (m *Mount) Unmount() error {
	var failed error
	for range 100 { // a reader that has been ended may take a moment to close
		if !mounted(m.Dir) {
			failed = nil
			break
		}
		if failed = unmount(m.Dir, false); failed == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if failed != nil {
		failed = errors.Join(failed, unmount(m.Dir, true))
	}
	if m.process.running() && !mounted(m.Dir) && m.process.ended(unmountLimit) {
		return errors.Join(failed, os.Remove(m.Dir))
	}
	err := m.process.stop(stopLimit)
	if mounted(m.Dir) {
		err = errors.Join(err, unmount(m.Dir, true))
	}
	return errors.Join(failed, err, os.Remove(m.Dir))
}

// Abort ends the process at once. What hangs in the mount fails then.
func (m *Mount) Abort() {
	_ = m.process.cmd.Process.Kill() // it may have ended
}

// Kill ends the mount at once, whatever it still had to do.
func (m *Mount) Kill() error {
	m.Abort()
	<-m.process.done
	if mounted(m.Dir) {
		if err := unmount(m.Dir, true); err != nil {
			return err
		}
	}
	return os.Remove(m.Dir)
}

// Running tells whether the process of the mount lives.
func (m *Mount) Running() bool { return m.process.running() }

// LastWords is the end of what it has said.
func (m *Mount) LastWords() string { return m.process.lastWords() }
