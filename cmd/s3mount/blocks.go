package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/transfer"
)

// mostCache is the default limit of the block cache, where the disk is large.
const mostCache = 20 << 30

// openBlocks opens the cache of blocks. A mount without it is a mount all the same: what
// is wrong goes to the log.
func (s *session) openBlocks(bucket *s3.Bucket) *disk.Tier {
	dir := filepath.Join(journalDir(s.cfg.CacheDir, bucket.Endpoint(), s.cfg.Bucket, s.cfg.Prefix), "blocks")
	limit := s.cfg.CacheSize
	if limit < 0 {
		limit = defaultCacheSize(dir, s.cfg.CacheDir)
	}
	if limit == 0 {
		return nil
	}
	if limit < minCacheSize {
		s.log.Warn("the disk has no room to cache what is read", "dir", dir)
		return nil
	}
	t, err := disk.Open(disk.Options{
		Dir: dir, Identity: bucket.Endpoint() + "\x00" + s.cfg.Bucket, Limit: limit, Log: s.log,
		Queue: int(min(max(s.cfg.Memory/16/mem.BlockSize, 16), 256)),
	})
	if err != nil {
		s.log.Warn("nothing is cached on disk", "err", err)
		return nil
	}
	return t
}

// defaultCacheSize is a tenth of what is free, counting what the cache itself takes.
func defaultCacheSize(dir, cacheDir string) int64 {
	free, err := freeBytes(cacheDir)
	if err != nil {
		return 0
	}
	if info, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		free += info.Size()
	}
	return min(free/10, mostCache)
}

// cacheStats is what `s3mount cache stats --json` prints for each mount.
type cacheStats struct {
	Mountpoint string `json:"mountpoint"`
	Limit      int64  `json:"limit"`        // bytes on disk; 0: nothing is cached
	Bytes      int64  `json:"bytes"`        // taken by blocks
	FromDisk   int64  `json:"from_disk"`    // bytes read from the cache since the mount began
	FromBucket int64  `json:"from_bucket"`  // bytes fetched since then
	Written    int64  `json:"written"`      // bytes put into the cache
	Evicted    int64  `json:"evicted"`      // blocks given up for others
	NotWritten int64  `json:"not_written"`  // blocks left out, since the disk was behind
	Damaged    int64  `json:"damaged"`      // blocks that were not what had been written
	DiskIsFull bool   `json:"disk_is_full"` // the disk has no room for the whole limit
}

// CacheStats counts what the cache on disk holds and does.
func (s *session) CacheStats() cacheStats {
	d, f := s.blocks.Stats(), s.fetcher.Stats()
	return cacheStats{
		Mountpoint: s.cfg.Mountpoint, Limit: d.Limit, Bytes: d.Bytes, FromDisk: d.Read, FromBucket: f.Fetched,
		Written: d.Written, Evicted: d.Evicted, NotWritten: d.Dropped, Damaged: d.Damaged, DiskIsFull: d.Full,
	}
}

// CacheClear empties the cache on disk.
func (s *session) CacheClear() error { return s.blocks.Clear() }

// CacheEvict takes a file, or all below a folder, out of the cache on disk.
func (s *session) CacheEvict(ctx context.Context, path string) (bytes int64, err error) {
	objects, err := s.objects(ctx, path)
	for _, o := range objects {
		blocks := (o.Size + mem.BlockSize - 1) / mem.BlockSize
		bytes += s.blocks.Evict(disk.ID(transfer.ContentIDOf(o)), 0, blocks) * mem.BlockSize
	}
	return bytes, err
}

// warmState is how far a warming is.
type warmState struct {
	Files int   `json:"files"` // in all
	Done  int64 `json:"done"`  // bytes that are in the cache
	Bytes int64 `json:"bytes"` // of all files
	Ended bool  `json:"ended"`
	answered
}

// warmParallel is how many files are fetched at once.
const warmParallel = 4

// Warm fetches a file, or all below a folder, into the cache on disk. report hears
// the progress, one call at a time.
func (s *session) Warm(ctx context.Context, path string, report func(warmState)) error {
	objects, err := s.objects(ctx, path)
	if err != nil {
		return err
	}
	st := warmState{Files: len(objects)}
	room := int64(0)
	for _, o := range objects {
		st.Bytes += o.Size
		room += (o.Size + mem.BlockSize - 1) / mem.BlockSize * mem.BlockSize
	}
	if most := s.blocks.Capacity() / 10 * 9; room > most {
		return &problem{
			cause:  fmt.Sprintf("%s are more than the cache on disk can keep (%s)", bytesText(room), bytesText(most)),
			remedy: "name less, or mount with a larger --cache-size",
		}
	}
	var mu sync.Mutex
	var failed []error
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(warmParallel)
	for _, o := range objects {
		g.Go(func() error {
			err := s.fetcher.Warm(each, transfer.NewRemote(transfer.ContentIDOf(o), o), func(n int64) {
				mu.Lock()
				defer mu.Unlock()
				st.Done += n
				report(st)
			})
			if err != nil {
				mu.Lock()
				failed = append(failed, err)
				mu.Unlock()
			}
			return nil // the others go on
		})
	}
	_ = g.Wait()
	switch {
	case len(failed) == 1:
		return failed[0]
	case len(failed) > 1:
		return fmt.Errorf("%d of %d files failed, the first: %w", len(failed), len(objects), failed[0])
	}
	return ctx.Err()
}

// objects lists what the bucket has at a path of the mount, or below it.
func (s *session) objects(ctx context.Context, path string) (all []s3.Object, err error) {
	if s.blocks == nil {
		return nil, &problem{cause: "this mount caches nothing on disk", remedy: "mount with another --cache-size"}
	}
	key := s.tree.Key(path)
	if path != "" {
		o, err := s.bucket.Head(ctx, key)
		if err == nil {
			return []s3.Object{o}, nil
		}
		if !errors.Is(err, s3.ErrNotFound) {
			return nil, err
		}
		key += "/"
	}
	for token := ""; ; {
		page, err := s.bucket.List(ctx, key, "", "", token, 0)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Objects {
			if o.Size > 0 {
				all = append(all, o)
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if len(all) == 0 && path != "" {
		return nil, &problem{cause: fmt.Sprintf("the bucket has nothing at %q", path), remedy: "check the spelling; what is not uploaded yet is on local disk anyway"}
	}
	return all, nil
}
