package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"s3mount/cache/disk"
	mountfs "s3mount/fs"
	"s3mount/internal/attrs"
	"s3mount/internal/mem"
	"s3mount/internal/names"
	"s3mount/internal/s3"
	"s3mount/transfer"
	"s3mount/transfer/journal"
)

// heapLimit is what the Go heap may take beside the leased buffers, which lie
// outside of it: requests of the kernel, the journal, names.
const heapLimit = 160 << 20

// session is a running mount: the bucket, the journal, the engine, the names, the
// mount, in the order in which they were started.
type session struct {
	cfg     mountConfig
	log     *slog.Logger
	fetcher *transfer.Fetcher
	arena   *mem.Arena
	blocks  *disk.Tier // nil: nothing is cached on disk
	attrs   *attrs.Store
	journal *journal.Journal
	engine  *transfer.Engine
	tree    *names.Tree
	bucket  *s3.Bucket
	server  atomic.Pointer[mountfs.Server] // nil until it is mounted
}

// start begins the engine and the names over the bucket that was checked, calls ready, and mounts. It
// returns when the mount answers; on an error nothing is mounted.
func start(ctx context.Context, cfg mountConfig, log *slog.Logger, ready func(*session)) (*session, error) {
	debug.SetMemoryLimit(heapLimit)
	bucket := cfg.bucket
	s := &session{cfg: cfg, log: log, bucket: bucket, arena: mem.NewArena()}
	budget := mem.New(cfg.Memory)
	var err error
	if s.journal, err = openJournal(cfg, bucket, budget, s.arena); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.blocks = s.openBlocks(bucket)
	s.fetcher = transfer.NewFetcher(transfer.FetchOptions{
		Bucket: bucket, Budget: budget, Arena: s.arena, Disk: s.blocks,
		Memory: s.consumed(), ReadaheadMax: cfg.ReadaheadMax, Damaged: s.damaged, Log: log,
	})
	host, err := os.Hostname()
	if err != nil {
		host = "this-machine"
	}
	owner := transfer.Meta{UID: cfg.UID, GID: cfg.GID}
	s.engine = transfer.New(transfer.Options{
		Bucket: bucket, Fetcher: s.fetcher, Journal: s.journal, Log: log,
		Settle: cfg.Settle, SyncTimeout: cfg.FsyncTimeout, PartSize: cfg.PartSize, Host: host,
		CloseInBucket: cfg.Close == "bucket", SyncInJournal: cfg.Fsync == "journal",
		ScratchKey: scratchKey(cfg, host),
	})
	recovered, err := s.engine.Recover()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.tell(recovered)
	s.attrs = s.openAttrs(bucket)
	s.tree = names.New(names.Options{
		Bucket: bucket, Engine: s.engine, Attrs: s.attrs, Prefix: cfg.Prefix, TTL: cfg.ListTTL, Default: owner,
		ListedTimes: cfg.Times == "listing", Umask: cfg.Umask, ReadOnly: cfg.ReadOnly, Log: log,
	}, recovered)
	s.engine.Start()
	s.awaitMoves(ctx)
	ready(s)
	server, err := mountfs.Mount(s.tree, mountfs.Options{
		Mountpoint: cfg.Mountpoint, Source: cfg.Source,
		AllowOther: cfg.AllowOther, ReadOnly: cfg.ReadOnly, NoExec: cfg.NoExec, Debug: cfg.Debug, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.server.Store(server)
	return s, nil
}

// consumed is the bytes of blocks that were read in part which stay in memory: the kernel
// keeps the pages of what was read. A tier on disk has the rest.
func (s *session) consumed() int64 {
	if s.blocks != nil {
		return s.cfg.Memory / 16
	}
	return s.cfg.Memory / 2
}

// journalDir is where a mount of this bucket keeps its journal and spool below the
// cache directory. Mounts of different buckets or prefixes share nothing.
func journalDir(cacheDir, endpoint, bucket, prefix string) string {
	h := sha256.Sum256([]byte(endpoint + "\x00" + bucket + "\x00" + prefix))
	return filepath.Join(cacheDir, bucket+"-"+hex.EncodeToString(h[:6]))
}

// scratchKey is a key that belongs to this mount, and that no listing shows.
func scratchKey(cfg mountConfig, host string) string {
	h := sha256.Sum256([]byte(host + "\x00" + cfg.CacheDir))
	return cfg.Prefix + names.ScratchPrefix + hex.EncodeToString(h[:8])
}

func openJournal(cfg mountConfig, bucket *s3.Bucket, budget *mem.Budget, arena *mem.Arena) (*journal.Journal, error) {
	dir := journalDir(cfg.CacheDir, bucket.Endpoint(), cfg.Bucket, cfg.Prefix)
	free, err := freeBytes(cfg.CacheDir)
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(journal.Options{
		Dir: dir, AllowVolatile: cfg.AllowTmpfs, SpoolLimit: cfg.SpoolSize, SpoolFree: free / 10 * 9, Budget: budget, Arena: arena,
		Identity: journal.Identity{Endpoint: bucket.Endpoint(), Bucket: cfg.Bucket, Prefix: cfg.Prefix},
	})
	switch {
	case errors.Is(err, journal.ErrLocked):
		return nil, &problem{cause: "the cache directory " + dir + " is in use by another mount of this bucket", remedy: "unmount that one, or give this one its own --cache-dir", err: err}
	case errors.Is(err, journal.ErrFormat):
		return nil, &problem{cause: err.Error(), remedy: "mount with that version until all is in the bucket, or give this one its own --cache-dir", err: err}
	case errors.Is(err, journal.ErrBroken):
		return nil, &problem{cause: err.Error(), remedy: "move " + dir + " away and mount again; in its folder spool are the bytes of files that were not in the bucket", err: err}
	case errors.Is(err, journal.ErrVolatile):
		return nil, &problem{cause: "the cache directory " + cfg.CacheDir + " is on a memory file system, and a reboot would lose files that are not in the bucket yet", remedy: "choose a --cache-dir on a disk, or accept it with --allow-tmpfs", err: err}
	}
	return j, err
}

// openAttrs opens the memory of what objects carry. A mount without it asks more often.
func (s *session) openAttrs(bucket *s3.Bucket) *attrs.Store {
	store, err := attrs.Open(attrs.Options{Dir: journalDir(s.cfg.CacheDir, bucket.Endpoint(), s.cfg.Bucket, s.cfg.Prefix), Log: s.log})
	if err != nil {
		s.log.Warn("times and modes of objects are asked for again after each mount", "err", err)
		return nil
	}
	return store
}

// awaitMoves lets renames of directories that a crash cut complete, so that nobody
// sees half of one. Where the bucket cannot be reached they go on later.
func (s *session) awaitMoves(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := s.engine.AwaitMoves(ctx); err != nil {
		s.log.Warn("the rename of a directory is not complete yet; what is moved is not seen until then", "err", err)
	}
}

// tell says what an earlier process left, and what other journals hold.
func (s *session) tell(r transfer.Recovered) {
	for _, key := range r.Unfinished {
		s.log.Warn("unfinished file: it was being written when the last mount ended, and was never closed; copy it again", "key", key)
	}
	for _, d := range r.Damaged {
		s.log.Error("damaged file: the bytes on this disk are not those that were written, or its close had not ended yet; it is set aside and not published; copy it again", "key", d.Key, "bytes", d.Path, "err", d.Err)
	}
	if n := len(r.Files); n > 0 {
		s.log.Info("publishing files that an earlier mount had closed", "files", n)
	}
	others, err := filepath.Glob(filepath.Join(s.cfg.CacheDir, s.cfg.Bucket+"-*"))
	if err != nil {
		return // only a malformed pattern fails, and then there is nothing to name
	}
	for _, dir := range others {
		id, records, err := journal.Read(dir)
		records = slices.DeleteFunc(records, func(r journal.Record) bool { return r.NoContent || r.Open })
		if files := len(records); err == nil && files > 0 {
			s.log.Warn("files of another mount are not in the bucket yet; mount that again to publish them, or get them with s3mount recover",
				"files", files, "bucket", id.Bucket+"/"+id.Prefix, "endpoint", id.Endpoint, "dir", dir)
		}
	}
}

// Serve blocks until the mount is gone, whoever unmounted it, or ctx ends; then it
// unmounts, lazily when files are open.
func (s *session) Serve(ctx context.Context) error {
	gone := make(chan struct{})
	go func() {
		s.server.Load().Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	if err := s.server.Load().Unmount(); err != nil {
		s.log.Warn("files are open: the mount goes when they are closed", "err", err)
		return mountfs.Detach(s.cfg.Mountpoint)
	}
	return nil
}

// Drain publishes what is not in the bucket yet, until ctx ends. It calls progress
// now and then and returns what is left.
func (s *session) Drain(ctx context.Context, progress func(totals)) (left backlog, err error) {
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && len(s.engine.Pending()) > 0 { // more may be closed meanwhile
			err = errors.Join(s.engine.Wait(ctx, ""), context.Cause(ctx))
		}
		done <- err
	}()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if r := s.Backlog(""); r.FilesLeft > 0 {
			progress(r.totals)
		}
		select {
		case err := <-done:
			return s.Backlog(""), err
		case <-tick.C:
		}
	}
}

// Close gives everything back.
func (s *session) Close() error {
	var err error
	if s.engine != nil {
		err = s.engine.Close()
	}
	if s.fetcher != nil {
		s.fetcher.Close()
	}
	err = errors.Join(err, s.blocks.Close(), s.attrs.Close())
	if s.journal != nil {
		err = errors.Join(err, s.journal.Close())
	}
	s.arena.Close()
	return err
}
