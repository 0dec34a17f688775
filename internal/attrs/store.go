// Package attrs remembers over restarts what objects carry besides their bytes: times,
// modes, owners, links and extended attributes, as a HEAD of one version said, or as we
// wrote it ourselves. A listing names the versions; what is remembered of one of them
// needs no request.
//
// It never talks to the bucket, and never answers for another version than the one that
// the listing names. All of it can be lost: that costs requests, and nothing else.
package attrs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"s3mount/internal/s3"
)

// Options of a Store.
type Options struct {
	// Dir gets the file attrs.db; it belongs to one bucket and prefix.
	Dir string
	// Limit is the most records on disk; 0: 500,000, which take about 200 MiB.
	Limit int
	Log   *slog.Logger // nil: silent
}

const (
	formatVersion = "1"
	defaultLimit  = 500_000
	// flushAfter is how long a record waits at least, and others are written with it. What
	// we change ourselves within the second that a record is of replaces it meanwhile: on
	// disk it would outlive a crash that loses the newer one.
	flushAfter = 3 * time.Second
	// maxWaiting is how many records wait at most: what a slow disk cannot take is left out.
	maxWaiting = 40_000
	// sameSecond is how long after its last change an object must have been asked for:
	// times have whole seconds, and a copy with other metadata keeps the ETag.
	sameSecond = 2 * time.Second
	// lateDate is how far the date of an answer may be behind: some servers make it once
	// in a second.
	lateDate = time.Second
)

var (
	stateBucket = []byte("state")
	versionKey  = []byte("version")
	youngKey    = []byte("young")
	countKey    = []byte("count") // of records in the young generation
	generations = [2][]byte{[]byte("a"), []byte("b")}
)

// Store is an open file of records. There are two generations of them: new ones and
// those that were of use go to the young one; when that is half of the limit, the old
// one goes, and the young one is the old one. A nil Store remembers nothing.
type Store struct {
	db    *bbolt.DB
	begun time.Time
	half  int
	log   *slog.Logger
	wake  chan struct{}
	done  chan struct{}
	ended sync.WaitGroup

	mu      sync.Mutex
	waiting map[string]waiting // records that are not on disk yet
	young   int                // which generation
	count   int                // of records in it, about
	broken  bool
}

// waiting is a record that is not on disk yet; without bytes: it is to be forgotten.
type waiting struct {
	raw   []byte
	since time.Time
}

// Open opens the file, and makes it when it is not there. What is damaged, or of another
// format, is made anew.
func Open(o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(o.Dir, "attrs.db")
	s, err := open(path, o)
	if err != nil && !errors.Is(err, bolterrors.ErrTimeout) {
		o.Log.Warn("what was remembered of objects is of no use, and is made anew", "path", path, "err", err)
		if err = os.Remove(path); err == nil || errors.Is(err, os.ErrNotExist) {
			s, err = open(path, o)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.ended.Add(1)
	go s.run()
	return s, nil
}

func open(path string, o Options) (s *Store, err error) {
	defer safely(&err)()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 200 * time.Millisecond, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	s = &Store{
		db: db, begun: time.Now(), half: max(o.Limit/2, 1), log: o.Log, waiting: map[string]waiting{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if err := db.Update(s.prepare); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// safely turns a panic over a damaged file, or a page of it that cannot be read, into
// an error: nobody is to lose a mount over what can be asked for again.
func safely(err *error) (end func()) {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			*err = fmt.Errorf("damaged: %v", r)
		}
	}
}

func (s *Store) prepare(tx *bbolt.Tx) error {
	state, err := tx.CreateBucketIfNotExists(stateBucket)
	if err != nil {
		return err
	}
	fresh := state.Get(versionKey) == nil
	if v := state.Get(versionKey); v != nil && string(v) != formatVersion {
		for _, g := range generations {
			if err := tx.DeleteBucket(g); err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
				return err
			}
		}
		fresh = true
	}
	for _, g := range generations {
		if _, err := tx.CreateBucketIfNotExists(g); err != nil {
			return err
		}
	}
	if fresh {
		return errors.Join(state.Put(versionKey, []byte(formatVersion)), state.Put(youngKey, generations[0]), state.Put(countKey, []byte("0")))
	}
	if bytes.Equal(state.Get(youngKey), generations[1]) {
		s.young = 1
	}
	n, err := strconv.Atoi(string(state.Get(countKey)))
	s.count = n
	return err
}

// Fetched takes what HEAD said of an object, if that cannot have changed within the
// second of its LastModified.
func (s *Store) Fetched(o s3.Object) {
	if s == nil || !o.HasProps || o.Archived || o.Date.IsZero() || o.Date.Sub(o.LastModified) < sameSecond {
		return
	}
	s.put(o.Key, encode(fetched, o.LastModified, &o))
}

// Wrote takes what we gave an object. Its LastModified is not known: the first listing
// that names this ETag, and no later change, tells it.
func (s *Store) Wrote(o s3.Object) {
	if s == nil {
		return
	}
	s.failed(s.displace(o.Key))
	if !o.HasProps || o.Date.IsZero() {
		s.put(o.Key, nil)
		return
	}
	if o.Props.StorageClass == "" {
		o.Props.StorageClass = o.StorageClass
	}
	s.put(o.Key, encode(written, o.Date, &o))
}

// displace drops at once what an earlier process has remembered of a key in its last
// seconds: a crash of this one must not bring it back, see flushAfter.
func (s *Store) displace(key string) error {
	if time.Since(s.begun) >= flushAfter {
		return nil
	}
	there := false
	err := s.view(func(tx *bbolt.Tx) error {
		for _, g := range generations {
			there = there || tx.Bucket(g).Get([]byte(key)) != nil
		}
		return nil
	})
	if err != nil || !there {
		return err
	}
	return s.update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket(generations[0]).Delete([]byte(key)), tx.Bucket(generations[1]).Delete([]byte(key)))
	})
}

// put lets a record wait; nil: what is remembered is not true any more.
func (s *Store) put(key string, raw []byte) {
	if len(raw) > maxRecord {
		raw = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, replaced := s.waiting[key]; s.broken || len(s.waiting) >= maxWaiting && !replaced {
		return
	}
	s.waiting[key] = waiting{raw, time.Now()}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Forget drops what is remembered of a key, and of all keys that begin with below.
func (s *Store) Forget(key, below string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.waiting[key] = waiting{since: time.Now()}
	for k := range s.waiting {
		if strings.HasPrefix(k, below) {
			s.waiting[k] = waiting{since: time.Now()}
		}
	}
	s.mu.Unlock()
	s.failed(s.update(func(tx *bbolt.Tx) error {
		for _, g := range generations {
			if err := errors.Join(tx.Bucket(g).Delete([]byte(key)), deleteBelow(tx.Bucket(g), []byte(below))); err != nil {
				return err
			}
		}
		return nil
	}))
}

func deleteBelow(b *bbolt.Bucket, below []byte) error {
	c := b.Cursor()
	for {
		k, _ := c.Seek(below)
		if k == nil || !bytes.HasPrefix(k, below) {
			return nil
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
}

func (s *Store) update(fn func(tx *bbolt.Tx) error) (err error) {
	defer safely(&err)()
	return s.db.Update(fn)
}

// failed ends the use of a file that cannot be read or written.
func (s *Store) failed(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	first := !s.broken
	s.broken, s.waiting = true, map[string]waiting{}
	s.mu.Unlock()
	if first {
		s.log.Warn("what objects carry is not remembered any more", "err", err)
	}
}

// Close writes what waits, and closes the file; one that is damaged goes.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	close(s.done)
	s.ended.Wait()
	path := s.db.Path()
	err := s.db.Close()
	if s.broken {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
