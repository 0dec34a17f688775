package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// replay brings what the logs of the last process have into the database and the spool,
// removes them, and returns the number of the last frame. It may be repeated.
func replay(dir string, db *bbolt.DB) (seq uint64, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		seq = redoSeq(tx)
		return nil
	})
	if err != nil {
		return 0, err
	}
	l, err := readLogs(dir, seq)
	if err != nil {
		return 0, err
	}
	if err := l.restoreAll(filepath.Join(dir, "spool")); err != nil {
		return 0, err
	}
	if l.seq > seq {
		if err := db.Update(func(tx *bbolt.Tx) error { return putRaw(tx, l.records, l.seq) }); err != nil {
			return 0, err
		}
	}
	for i := range 2 {
		if err := os.Remove(logPath(dir, i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
	}
	return l.seq, nil
}

// restoreAll makes the spool files durable whose bytes the logs have.
func (l *logged) restoreAll(spool string) error {
	for id, at := range l.bytes {
		r, err := l.record(id)
		if err != nil {
			return err
		}
		if r == nil || r.Sums == nil || !r.HasData() { // its bytes were to change: the spool file was synced before
			continue
		}
		if err := restore(r, at, filepath.Join(spool, id)); err != nil {
			return fmt.Errorf("restore the bytes of %s: %w", r.Key, err)
		}
	}
	if len(l.bytes) == 0 {
		return nil
	}
	return syncDir(spool)
}

// restore makes a spool file durable: as it is when that is what the record says, else with
// the bytes of the log. What is neither stays as it is, for those who verify.
func restore(r *Record, at place, path string) error {
	if r.verifyFile(path) == nil {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(syncData(f), f.Close())
	}
	log, err := at.open()
	if err != nil {
		return err
	}
	defer log.Close()
	if r.Verify(log) != nil {
		return nil
	}
	raw := make([]byte, at.n)
	if _, err := log.ReadAt(raw, 0); err != nil {
		return err
	}
	return writeDurably(path, raw)
}

// part is a run of bytes in an open file.
type part struct {
	*io.SectionReader
	io.Closer
}

func (p place) open() (part, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return part{}, err
	}
	return part{io.NewSectionReader(f, p.off, p.n), f}, nil
}
