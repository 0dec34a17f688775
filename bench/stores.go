package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"s3mount/bench/raw"
	"s3mount/bench/rig"
)

// Each kind of work has the server that costs the machine least for it, since
// server, link, mount and load share the CPUs. A server is started when it is
// first needed.

// readStore is the gateway, with its objects in memory.
func (b *bench) readStore() (*rig.Store, error) {
	return b.store("gateway", func() (*rig.Store, error) { return startGateway(filepath.Join(b.ram, "gateway")) })
}

// writeStore is MinIO, with its objects in memory.
func (b *bench) writeStore() (*rig.Store, error) {
	return b.store("minio", func() (*rig.Store, error) { return rig.StartMinio(filepath.Join(b.tools, "minio"), b.ram) })
}

// diskStore is the gateway, with its objects on the disk: for those that are
// too large for memory once the server has copied them.
func (b *bench) diskStore() (*rig.Store, error) {
	return b.store("disk", func() (*rig.Store, error) { return startGateway(filepath.Join(b.disk, "gateway")) })
}

func startGateway(dir string) (*rig.Store, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	cmd, err := self("gateway", dir)
	if err != nil {
		return nil, err
	}
	return rig.StartGateway(cmd, dir)
}

func (b *bench) store(name string, start func() (*rig.Store, error)) (*rig.Store, error) {
	if s := b.stores[name]; s != nil {
		return s, nil
	}
	s, err := start()
	if err != nil {
		return nil, fmt.Errorf("start the server %q: %w", name, err)
	}
	b.stores[name] = s
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := b.client(s, s.Endpoint())
	defer c.Close()
	if err := c.CreateBucket(ctx); err != nil {
		return nil, err
	}
	return s, warmUp(ctx, c)
}

// warmUp lets a server meet its first upload, so that nobody measured does.
func warmUp(ctx context.Context, c *raw.Client) error {
	const key, n = "warm-up", 16 * raw.PartSize
	if err := c.Upload(ctx, key, n, make([]byte, raw.PartSize), 4); err != nil {
		return err
	}
	if err := c.Download(ctx, key, n, 4); err != nil {
		return err
	}
	return c.Delete(ctx, key)
}

func (b *bench) client(s *rig.Store, endpoint string) *raw.Client {
	return raw.New(raw.Store{Endpoint: endpoint, Bucket: bucket, AccessKey: s.AccessKey, SecretKey: s.SecretKey})
}
