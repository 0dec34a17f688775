package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"s3mount/bench/raw"
	"s3mount/bench/rig"
)

const (
	hugeKey  = "read/huge.bin"
	hugeSize = 10 * gibibyte
	cameras  = 16 // more objects for streams side by side
	camSize  = 4 * gibibyte
)

// solid makes an object with the bytes of a source file, straight in the
// server, if it is not there.
func (t *trial) solid(key string, n int64) error {
	path, _, err := t.sources.large(n)
	if err != nil {
		return err
	}
	return t.fromFile(key, path)
}

// fromFile makes an object of a file, if it is not there.
func (t *trial) fromFile(key, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	have, err := t.witness.Size(t.ctx, key)
	if err != nil || have == st.Size() {
		return err
	}
	return t.witness.UploadFrom(t.ctx, key, f, st.Size(), 2)
}

// sparse makes an object of nothing but zeros, which takes no room: the
// gateway keeps an object as a file.
func (t *trial) sparse(key string, n int64) error { return sparse(t.ctx, t.witness, t.store, key, n) }

func sparse(ctx context.Context, c *raw.Client, s *rig.Store, key string, n int64) error {
	have, err := c.Size(ctx, key)
	if err != nil || have == n {
		return err
	}
	if err := c.Put(ctx, key, []byte(key)); err != nil { // so that it has an ETag
		return err
	}
	if err := os.Truncate(filepath.Join(s.Objects, bucket, key), n); err != nil {
		return err
	}
	if have, err = c.Size(ctx, key); err == nil && have != n {
		err = fmt.Errorf("the server shows %d bytes of %s, not %d", have, key, n)
	}
	return err
}

func (t *trial) cameras(n int) error {
	for i := range n {
		if err := t.sparse(camera(i), camSize); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) huge() error { return t.sparse(hugeKey, hugeSize) }

func camera(i int) string { return fmt.Sprintf("read/cam%02d.bin", i) }

// open opens a file of the mount, which asks for its attributes. What comes
// after it is measured.
func (t *trial) open(key string) (*os.File, error) { return os.Open(filepath.Join(t.mount.Dir, key)) }

// spotCheck compares some places of a file that was read with its source.
func (t *trial) spotCheck(f io.ReaderAt, n int64) error {
	path, _, err := t.sources.large(n)
	if err != nil {
		return err
	}
	source, err := os.Open(path)
	if err != nil {
		return err
	}
	defer source.Close()
	places := rand.New(rand.NewPCG(1, 1))
	got, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for range 32 {
		off := places.Int64N(max(1, n-int64(len(want))))
		g, err1 := f.ReadAt(got, off)
		w, err2 := source.ReadAt(want, off)
		if err := errors.Join(err1, err2); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if string(got[:g]) != string(want[:w]) {
			return fmt.Errorf("WRONG BYTES at %d", off)
		}
	}
	return nil
}
