package main

import (
	"net/url"
	"strings"
	"time"

	"s3mount/cache/disk"
	"s3mount/internal/s3"
)

// mountConfig is everything a mount needs, checked and complete.
type mountConfig struct {
	Bucket     string
	Prefix     string // empty, or with a slash at its end
	Mountpoint string // absolute
	S3         s3.Config
	bucket     *s3.Bucket // opened and checked; set before the mount starts

	CacheDir     string        // absolute, exists, writable
	SpoolSize    int64         // bytes of files that are not in the bucket yet; 0: by the free disk
	CacheSize    int64         // bytes of blocks on disk; 0: none, -1: by the free disk
	Memory       int64         // bytes, for every buffer of reads and writes
	ReadaheadMax int64         // bytes a stream may be ahead; 0: the engine chooses
	ListTTL      time.Duration // how long a listing is believed

	Times string // "exact" or "listing": what stat shows of files that were never seen

	ReadOnly   bool
	AllowOther bool
	NoExec     bool
	Source     string // as the list of mounts shows it
	UID, GID   uint32 // owner of what has none in its metadata
	Umask      uint32

	Close        string // "journal" or "bucket": what a successful close means
	Fsync        string // "bucket" or "journal": what a successful fsync means
	FsyncTimeout time.Duration
	Settle       time.Duration
	PartSize     int64 // bytes of each part; 0: growing parts
	AllowTmpfs   bool

	Debug bool // log every request of the kernel
}

// target is the bucket with its prefix, for messages.
func (c mountConfig) target() target { return target{c.Bucket, c.Prefix} }

// Limits of flags.
const (
	minMemory    = 64 << 20
	minSpoolSize = 128 << 20
	minCacheSize = disk.MinLimit
	minPartSize  = 5 << 20 // S3's own
	maxPartSize  = 5 << 30
)

// evenPartSize is the part size for stores that want all parts of an upload but the last
// to be equal: 10,000 of them are 312 GiB.
const evenPartSize = 32 << 20

// partSize is the size of parts where the flags give none; 0: they grow.
func partSize(endpoint string) int64 {
	u, err := url.Parse(endpoint)
	if err == nil && strings.HasSuffix(u.Hostname(), ".r2.cloudflarestorage.com") {
		return evenPartSize
	}
	return 0
}
