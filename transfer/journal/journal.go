// Package journal is what survives a crash: the spool files that hold bytes which
// are not in the bucket yet, and the records that say what is to become of them.
//
// A directory belongs to one endpoint and bucket and to one process at a time:
//
//	identity.json   format version, endpoint, bucket, prefix
//	journal.db      bbolt; bucket "records": ID -> Record as JSON; bucket "state":
//	                "clean" is there after a process has ended well
//	open.log        names of files that are being written (not synced: it is for
//	                telling the user which files a crash cut off)
//	requests.log    keys of requests under way that no precondition protects, and versions
//	                whose publication had no answer (not synced
//	                either: a machine is back later than any of them could be)
//	spool/ID        the bytes of the content ID, sparse
//	damaged/ID      bytes that a crash of the machine damaged, with the record as
//	                ID.json; nothing here is ever read again
//
// A record reaches the disk only after its spool file did. The package never
// talks to the bucket and never decides what is published when.
package journal

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"s3mount/internal/mem"
)

// Version is the format of the directory. A directory of another version is refused.
const Version = 1

var (
	// ErrLocked: another process uses the directory.
	ErrLocked = errors.New("in use by another mount")
	// ErrForeign: the directory belongs to another bucket or endpoint.
	ErrForeign = errors.New("belongs to another bucket")
	// ErrFormat: the directory was made by a version of this program that has another format.
	ErrFormat = errors.New("was written by another version of s3mount")
	// ErrBroken: the file of records cannot be read.
	ErrBroken = errors.New("the journal cannot be read")
	// ErrVolatile: the directory is on a memory file system.
	ErrVolatile = errors.New("is on a memory file system, which a reboot empties")
)

var recordsBucket = []byte("records")

// Identity says whose contents a directory holds.
type Identity struct {
	Version  int    `json:"version"`
	Endpoint string `json:"endpoint"`
	Bucket   string `json:"bucket"`
	Prefix   string `json:"prefix"`
}

// Options of Open.
type Options struct {
	Dir      string
	Identity Identity // Version is filled in
	// AllowVolatile accepts a directory on tmpfs.
	AllowVolatile bool
	// SpoolLimit is the most bytes that spool files may take; 0: SpoolFree beside what those
	// of earlier processes take.
	SpoolLimit, SpoolFree int64
	// Budget and Arena are for blocks on their way to and from the disk; nil: 64 MiB
	// of their own.
	Budget *mem.Budget
	Arena  *mem.Arena
}

// Journal is an open directory.
type Journal struct {
	Spool *Spool

	dir   string
	clean bool // the last process ended well, or what it left was verified

	db       *bbolt.DB
	open     *openLog
	requests *openLog // of the same format, with an ID for each request

	mu      sync.Mutex
	queue   []*change
	running bool
	idle    *sync.Cond
}

// change is a set of records to write and to remove in one transaction.
type change struct {
	put    []Record
	remove []string
	done   chan error
}

// Open locks the directory, makes it when it is not there, and reads nothing yet.
func Open(o Options) (*Journal, error) {
	if err := os.MkdirAll(filepath.Join(o.Dir, "spool"), 0o700); err != nil {
		return nil, err
	}
	if volatile, err := onMemory(o.Dir); err != nil {
		return nil, err
	} else if volatile && !o.AllowVolatile {
		return nil, fmt.Errorf("%s %w", o.Dir, ErrVolatile)
	}
	records := filepath.Join(o.Dir, "journal.db")
	db, err := bbolt.Open(records, 0o600, &bbolt.Options{
		Timeout: 200 * time.Millisecond, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s is %w", o.Dir, ErrLocked)
	}
	if err != nil {
		return nil, broken(records, err)
	}
	j := &Journal{dir: o.Dir, db: db}
	j.idle = sync.NewCond(&j.mu)
	if err := j.prepare(o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return j, nil
}

// broken tells what is wrong with the file of records from what is wrong with the disk.
func broken(path string, err error) error {
	if _, disk := errors.AsType[*os.PathError](err); disk {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrBroken, path, err)
}

func (j *Journal) prepare(o Options) error {
	if err := checkIdentity(o); err != nil {
		return err
	}
	err := j.db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(recordsBucket); err != nil {
			return err
		}
		return j.takeClean(tx)
	})
	if err != nil {
		return err
	}
	if j.open, err = openOpenLog(filepath.Join(o.Dir, "open.log")); err != nil {
		return err
	}
	if j.requests, err = openOpenLog(filepath.Join(o.Dir, "requests.log")); err != nil {
		return errors.Join(err, j.open.close())
	}
	j.Spool, err = openSpool(filepath.Join(o.Dir, "spool"), o)
	return err
}

func checkIdentity(o Options) error {
	want := o.Identity
	want.Version = Version
	path := filepath.Join(o.Dir, "identity.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		raw, err = json.MarshalIndent(want, "", "  ")
		if err != nil {
			return err
		}
		return writeDurably(path, append(raw, '\n'))
	}
	if err != nil {
		return err
	}
	var got Identity
	if err := json.Unmarshal(raw, &got); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBroken, path, err)
	}
	if got.Version != Version {
		return fmt.Errorf("%s %w (format %d, this one has %d)", o.Dir, ErrFormat, got.Version, Version)
	}
	if got != want {
		return fmt.Errorf("%s %w: it holds %s/%s of %s", o.Dir, ErrForeign, got.Bucket, got.Prefix, got.Endpoint)
	}
	return nil
}

// writeDurably makes a file whole or not at all, also over a power loss.
func writeDurably(path string, raw []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Dir is the directory.
func (j *Journal) Dir() string { return j.dir }

// Records is every record, oldest first.
func (j *Journal) Records() ([]Record, error) { return readRecords(j.db) }

func readRecords(db *bbolt.DB) ([]Record, error) {
	var all []Record
	err := db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(recordsBucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			var r Record
			if err := json.Unmarshal(v, &r); err != nil {
				return fmt.Errorf("record %s: %w", k, err)
			}
			all = append(all, r)
			return nil
		})
	})
	sort.Slice(all, func(a, b int) bool { return all[a].Seq < all[b].Seq })
	return all, err
}

// Apply writes and removes records in one synced transaction. Calls that arrive
// while one is on its way share the next one.
func (j *Journal) Apply(put []Record, remove ...string) error {
	c := &change{put: put, remove: remove, done: make(chan error, 1)}
	j.mu.Lock()
	j.queue = append(j.queue, c)
	lead := !j.running
	j.running = true
	j.mu.Unlock()
	if lead && j.commit() {
		go func() { // not here: others may have something to write for ever
			for j.commit() {
			}
		}()
	}
	return <-c.done
}

// commit writes what is queued, and tells whether there is more.
func (j *Journal) commit() bool {
	j.mu.Lock()
	batch := j.queue
	j.queue = nil
	j.mu.Unlock()
	err := j.db.Update(func(tx *bbolt.Tx) error {
		return writeBatch(tx.Bucket(recordsBucket), batch)
	})
	for _, c := range batch {
		c.done <- err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running = len(j.queue) > 0; !j.running {
		j.idle.Broadcast()
	}
	return j.running
}

func writeBatch(b *bbolt.Bucket, batch []*change) error {
	for _, c := range batch {
		for _, r := range c.put {
			raw, err := json.Marshal(r)
			if err != nil {
				return err
			}
			if err := b.Put([]byte(r.ID), raw); err != nil {
				return err
			}
		}
		for _, id := range c.remove {
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// NoteOpen remembers, without waiting for the disk, that the content is being
// written under this name.
func (j *Journal) NoteOpen(id, key string) error { return j.open.note(openLine{ID: id, Key: key}) }

// NoteClosed forgets it.
func (j *Journal) NoteClosed(id string) error { return j.open.forget(id) }

// Unfinished is the contents that were being written when the last process ended:
// content ID to key.
func (j *Journal) Unfinished() map[string]string {
	keys := map[string]string{}
	for id, x := range j.open.unfinished {
		keys[id] = x.Key
	}
	return keys
}

// NoteRequest remembers, without waiting for the disk, that a request is under way that
// changes the key of o, or that may make the version with its publication ID there.
func (j *Journal) NoteRequest(id string, o Object) error {
	return j.requests.note(openLine{ID: id, Key: o.Key, Publication: o.Publication})
}

// NoteAnswered forgets it.
func (j *Journal) NoteAnswered(id string) error { return j.requests.forget(id) }

// Unanswered is what was noted of the requests that had no answer when the last process
// ended: each object once.
func (j *Journal) Unanswered() []Object {
	once := map[Object]bool{}
	for _, x := range j.requests.unfinished {
		once[Object{Key: x.Key, Publication: x.Publication}] = true
	}
	return slices.SortedFunc(maps.Keys(once), func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Publication, b.Publication))
	})
}

// TakenUp says that whoever has to know what was noted before the last process ended does, and
// has noted again what is still true of it. Until then a crash leaves it to the next process.
func (j *Journal) TakenUp() error { return errors.Join(j.open.takenUp(), j.requests.takenUp()) }

// Close waits for transactions on their way and frees the directory.
func (j *Journal) Close() error {
	j.mu.Lock()
	for j.running {
		j.idle.Wait()
	}
	j.mu.Unlock()
	j.Spool.close()
	return errors.Join(j.markClean(), j.open.close(), j.requests.close(), j.db.Close())
}
