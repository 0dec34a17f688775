package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
)

const (
	// logLeast and logMost bound the size of each of the two logs; logShare says which
	// part of the spool's limit it is in between.
	logLeast = 4 << 20
	logMost  = 64 << 20
	logShare = 16
)

// redo makes transactions cheap. Records are appended to a log, together with the bytes
// of small contents, and one sync makes all of it durable. The database gets the records
// of a whole log at once, after the spool files of those that are still there were
// synced: most files are in the bucket by then, and theirs never are.
//
// One of two logs grows. When it is full they change places, once the other one is folded
// into the database. That remembers the last frame which it has, so it never matters when
// a log is emptied. Only the goroutine of [Journal.commit] writes.
type redo struct {
	dir   string
	size  int64 // of each log
	files int   // spool files that may wait for a log to be folded: they stay open
	db    *bbolt.DB

	seq    uint64 // of the last frame
	buf    []byte
	broken bool // the newest log could not be written: it is to be made anew

	mu   sync.Mutex
	logs [2]*redoLog // the first one grows
}

// redoLog is one log. What the database lacks is guarded by redo.mu.
type redoLog struct {
	path string
	file *os.File // nil: there is none
	end  int64    // of the frames
	last uint64   // number of the last frame

	records map[string][]byte // by ID, as JSON, that the database does not have; nil: removed
	files   map[string]*File  // spool files whose bytes only the log has for certain; referenced
	folding chan struct{}     // closed when that has ended; nil: nobody does it
	err     error             // of the last fold
}

func newRedo(dir string, db *bbolt.DB, seq uint64, spool *Spool) *redo {
	r := &redo{dir: dir, db: db, seq: seq, size: min(max(spool.limit/logShare, logLeast), logMost), files: spool.maxOpen / 4}
	for i := range r.logs {
		r.logs[i] = &redoLog{path: logPath(dir, i), records: map[string][]byte{}, files: map[string]*File{}}
	}
	return r
}

func logPath(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("redo.%d", i)) }

// write makes the changes durable, and answers each.
func (r *redo) write(batch []*change) {
	err := r.append(batch)
	if err != nil {
		err = r.direct(batch)
	}
	for _, c := range batch {
		c.done <- errors.Join(err, c.err)
	}
}

// errTooLarge: the changes do not fit into a log.
var errTooLarge = errors.New("too large for the log")

// append writes one frame.
func (r *redo) append(batch []*change) error {
	if err := r.frame(batch); err != nil {
		return err
	}
	l, err := r.room(int64(len(r.buf)))
	if err != nil {
		return err
	}
	r.broken = true
	if _, err := writeFull(l.file, r.buf, l.end); err != nil {
		return err
	}
	if err := syncData(l.file); err != nil {
		return err
	}
	r.broken = false
	r.seq++
	l.last = r.seq
	l.end += int64(len(r.buf))
	r.note(l, batch)
	if l.end > r.size/2 || len(l.files) > r.files/2 {
		r.fold(r.logs[1])
	}
	return nil
}

// room returns the log that n more bytes go to.
func (r *redo) room(n int64) (*redoLog, error) {
	if n > r.size || r.broken {
		return nil, errTooLarge
	}
	l := r.logs[0]
	if l.end+n > r.size || len(l.files) > r.files {
		if err := r.folded(r.logs[1]); err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.logs[0], r.logs[1] = r.logs[1], l
		r.mu.Unlock()
		l = r.logs[0]
		l.end = 0
	}
	if l.file != nil {
		return l, nil
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDir(r.dir); err != nil { // no frame counts in a file whose name may be lost
		return nil, errors.Join(err, f.Close())
	}
	l.file, l.end = f, 0
	return l, nil
}

// note keeps what the database has to get.
func (r *redo) note(l *redoLog, batch []*change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range batch {
		for i, rec := range c.put {
			l.records[rec.ID] = c.raw[i]
			if rec.Bytes != nil && c.err == nil && !c.synced {
				r.drop(rec.ID)
				rec.Bytes.Ref()
				l.files[rec.ID] = rec.Bytes
			}
		}
		for _, id := range c.remove {
			l.records[id] = nil
			r.drop(id)
		}
	}
}

// records is what the database does not have, as JSON by ID; nil: removed.
func (r *redo) records() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := maps.Clone(r.logs[1].records)
	maps.Copy(out, r.logs[0].records)
	return out
}

// drop lets go of the spool file of a record. The caller holds r.mu.
func (r *redo) drop(id string) {
	for _, l := range r.logs {
		if f := l.files[id]; f != nil {
			delete(l.files, id)
			f.Unref()
		}
	}
}

// fold begins to bring what a log has into the database. The channel is closed when that
// has ended; nil: there is nothing to do.
func (r *redo) fold(l *redoLog) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.folding != nil || len(l.records) == 0 {
		return l.folding
	}
	done := make(chan struct{})
	l.folding = done
	go func() {
		defer close(done)
		err := r.foldNow(l)
		r.mu.Lock()
		defer r.mu.Unlock()
		l.folding, l.err = nil, err
	}()
	return done
}

// folded returns when the database has all of a log.
func (r *redo) folded(l *redoLog) error {
	done := r.fold(l)
	if done == nil {
		return nil
	}
	<-done
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.err
}

// foldedBoth is folded of the older log, then of the newer one: the database remembers one
// frame, and has all before it.
func (r *redo) foldedBoth() error {
	if err := r.folded(r.logs[1]); err != nil {
		return err
	}
	return r.folded(r.logs[0])
}

// foldNow syncs the spool files, then writes the records.
func (r *redo) foldNow(l *redoLog) error {
	r.mu.Lock()
	files := maps.Clone(l.files)
	for _, f := range files {
		f.Ref()
	}
	r.mu.Unlock()
	err := r.syncAll(l, files)
	r.mu.Lock()
	records := maps.Clone(l.records)
	r.mu.Unlock()
	if err == nil {
		err = r.put(records, l.last)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, f := range files {
		if l.files[id] == f && err == nil {
			delete(l.files, id)
			f.Unref()
		}
		f.Unref()
	}
	if err == nil {
		clear(l.records)
	}
	return err
}

// syncAll makes those spool files durable that the log still needs.
func (r *redo) syncAll(l *redoLog, files map[string]*File) error {
	for _, id := range slices.Sorted(maps.Keys(files)) {
		needed := func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return l.files[id] != nil
		}
		if !needed() {
			continue
		}
		if err := files[id].Sync(); err != nil && needed() && !files[id].isRemoved() {
			return fmt.Errorf("sync the spool file %s: %w", id, err)
		}
	}
	return nil
}

// put writes records into the database, which then has all frames up to seq.
func (r *redo) put(records map[string][]byte, seq uint64) error {
	return r.db.Update(func(tx *bbolt.Tx) error { return putRaw(tx, records, seq) })
}

// direct writes the batch into the database, after all that the logs have.
func (r *redo) direct(batch []*change) error {
	records := map[string][]byte{}
	for _, c := range batch {
		for _, rec := range c.put {
			if rec.Bytes != nil && c.err == nil {
				c.err = rec.Bytes.Sync()
			}
		}
		if c.err != nil {
			continue
		}
		for i, rec := range c.put {
			records[rec.ID] = c.raw[i]
		}
		for _, id := range c.remove {
			records[id] = nil
		}
	}
	if err := r.foldedBoth(); err != nil {
		return err
	}
	r.seq++ // of a frame that was not synced perhaps; and a database that fails may have it all the same
	if err := r.put(records, r.seq); err != nil {
		return err
	}
	if r.broken {
		r.discard(r.logs[0])
		r.broken = false
	}
	return nil
}

// discard removes a log that was folded.
func (r *redo) discard(l *redoLog) {
	if l.file != nil {
		l.file.Close()
		l.file, l.end = nil, 0
		_ = os.Remove(l.path) // the database knows that it has what is in it
	}
}

// close folds and removes both logs.
func (r *redo) close() error {
	err := r.foldedBoth()
	if err == nil && r.broken { // a frame that failed must not come back with its log
		err = r.put(nil, r.seq+1)
	}
	for _, l := range r.logs {
		if err == nil {
			r.discard(l)
		} else if l.file != nil { // what it has is for the next start
			l.file.Close()
		}
	}
	return err
}
