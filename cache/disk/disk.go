// Package disk is the disk tier of the cache: blocks that were fetched or uploaded once,
// kept over restarts within a limit in bytes.
//
// A directory belongs to one process at a time and holds three files:
//
//	data    slots of mem.BlockSize bytes, one block each
//	index   a header, then a record of 64 bytes for each slot: which block lies
//	        in it, its length and its xxh3 (record.go is the format)
//	aliases which contents have the bytes of another (alias.go)
//
// Nothing is ever synced. Every record carries a checksum of itself, and every block is
// compared with its own at each read, so that what a crash, a full disk or a bad sector
// leaves behind is a block less, never a wrong byte. The record of a slot is written
// after its bytes; between the two its old record does not fit them.
//
// The index is read in the background when the tier is opened. Writing happens in
// the background too, from a short queue: what the disk cannot take is left out.
//
// The package never fetches, never knows keys or ETags, and never returns an error
// for a block: it has it or it has not.
package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"s3mount/internal/mem"
)

// ID names immutable bytes, as in package cache.
type ID [16]byte

// ErrLocked: another process uses the directory.
var ErrLocked = errors.New("the cache of blocks is in use by another mount")

// MinLimit is the least limit, in bytes.
const MinLimit = 16 << 20

// awaitLimit is how long a reader waits for the index to be read.
const awaitLimit = 2 * time.Second

// Options of Open.
type Options struct {
	Dir      string
	Identity string // whose blocks these are; those of another are discarded
	Limit    int64  // bytes on disk, all files together
	Queue    int    // blocks that may wait to be written; 0: 64
	Log      *slog.Logger
}

// Tier is an open directory. The methods of a nil Tier do nothing and have nothing. Safe
// for concurrent use.
//
// Lock order: writing before mu. Files are read and written without mu.
type Tier struct {
	dir    string
	log    *slog.Logger
	data   *os.File
	direct *os.File // data, past the page cache; nil where that is not possible
	// buffered: requests through direct fail.
	buffered atomic.Bool
	index    *os.File
	slots    uint32
	queue    int
	loaded   chan struct{} // closed when the index was read
	wake     chan struct{}
	wg       sync.WaitGroup

	aliases aliases

	writing sync.Mutex // held by who hands out slots and writes them

	mu struct {
		sync.Mutex
		header    header
		x         *index    // nil until it was read
		stamp     uint64    // of the latest record
		allocated uint32    // slots that the disk has room for
		retry     time.Time // no writing before; zero: the last write went well
		retryGrow time.Time // no growing before, while full
		full      bool      // the disk was, when more room was asked for last
		closed    bool
		queue     []item
		warned    time.Time
		stats     Stats
	}
}

// Stats is what the tier holds, and what it did since it was opened.
type Stats struct {
	Limit   int64 // bytes on disk
	Bytes   int64 // taken by the blocks that are there
	Blocks  int64
	Read    int64 // bytes found
	Written int64 // bytes
	Evicted int64 // blocks given up for others
	Dropped int64 // blocks not written since the disk was behind
	Damaged int64 // blocks whose bytes were not what was written
	Full    bool  // the disk has no room for the whole limit
}

// Open locks the directory and starts reading its index. A directory of another format
// or identity is emptied.
func Open(o Options) (*Tier, error) {
	if o.Limit < MinLimit {
		return nil, fmt.Errorf("a cache of %d bytes is too small", o.Limit)
	}
	above := filepath.Dir(o.Dir)
	if err := os.MkdirAll(above, 0o700); err != nil {
		return nil, err
	}
	if _, total, err := diskSpace(above); err == nil {
		o.Limit = min(o.Limit, max(total, MinLimit)) // each slot takes memory: none for what the disk can never hold
	}
	if o.Queue <= 0 {
		o.Queue = 64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Tier{
		dir: o.Dir, log: o.Log, queue: o.Queue,
		slots:  uint32(min((o.Limit-headerSize)/(mem.BlockSize+recordSize+aliasSize), int64(none)-1)),
		loaded: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	t.mu.stats.Limit = o.Limit
	err := t.attach(o.Identity)
	if misplaced(err) {
		aside := fmt.Sprintf("%s.aside-%d", o.Dir, time.Now().Unix())
		t.log.Warn("what is in the place of the block cache is set aside", "dir", o.Dir, "to", aside, "err", err)
		if err = os.Rename(o.Dir, aside); err == nil {
			err = t.attach(o.Identity)
		}
	}
	if err != nil {
		return nil, err
	}
	t.loadAliases()
	t.wg.Go(t.run)
	return t, nil
}

// Close writes what is queued and frees the directory.
func (t *Tier) Close() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	t.mu.closed = true
	t.mu.Unlock()
	t.signal()
	t.wg.Wait()
	t.aliases.close()
	err := errors.Join(t.save(), t.data.Close(), t.index.Close())
	if t.direct != nil {
		err = errors.Join(err, t.direct.Close())
	}
	return err
}

// await waits until the index was read, not for long.
func (t *Tier) await(ctx context.Context) {
	select {
	case <-t.loaded:
		return
	default:
	}
	limit := time.NewTimer(awaitLimit)
	defer limit.Stop()
	select {
	case <-t.loaded:
	case <-ctx.Done():
	case <-limit.C:
	}
}

// Capacity is how many bytes of blocks fit.
func (t *Tier) Capacity() int64 {
	if t == nil {
		return 0
	}
	return int64(t.slots) * mem.BlockSize
}

// Stats reads the counters.
func (t *Tier) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.mu.stats
	s.Full = t.mu.full
	if x := t.mu.x; x != nil && !t.mu.closed {
		s.Blocks, s.Bytes, s.Evicted = int64(x.blocks), int64(x.blocks)*mem.BlockSize, x.evicted
	}
	return s
}
