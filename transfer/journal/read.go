package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ReadOnly is a directory that no mount uses, open for reading. While it is open no
// mount can use it.
type ReadOnly struct {
	Identity Identity

	dir    string
	db     *bbolt.DB
	logged *logged
}

// OpenReadOnly opens a directory and changes nothing in it. It fails with ErrLocked
// while a mount uses it, and with ErrFormat when it has another format.
func OpenReadOnly(dir string) (*ReadOnly, error) {
	id, err := readIdentity(dir)
	if err != nil {
		return nil, err
	}
	if !id.known() {
		return nil, fmt.Errorf("%s %w (format %d, this one has %d)", dir, ErrFormat, id.Version, Version)
	}
	records := filepath.Join(dir, "journal.db")
	db, err := bbolt.Open(records, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 10 * time.Millisecond})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s is %w", dir, ErrLocked)
	}
	if err != nil {
		return nil, broken(records, err)
	}
	r := &ReadOnly{Identity: id, dir: dir, db: db}
	seq := uint64(0)
	err = db.View(func(tx *bbolt.Tx) error {
		seq = redoSeq(tx)
		return nil
	})
	if err == nil {
		r.logged, err = readLogs(dir, seq)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func readIdentity(dir string) (id Identity, err error) {
	path := filepath.Join(dir, "identity.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(raw, &id); err != nil {
		return id, fmt.Errorf("%w: %s: %w", ErrBroken, path, err)
	}
	return id, nil
}

// Records is every record, oldest first.
func (r *ReadOnly) Records() ([]Record, error) { return readRecords(r.db, r.logged.records) }

// Verify compares the record's bytes with its checksums. It fails with ErrDamaged.
func (r *ReadOnly) Verify(rec *Record) error {
	if !rec.HasData() {
		return nil
	}
	f, err := r.Bytes(rec)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer f.Close()
	return rec.Verify(f)
}

// Bytes opens the bytes of a record: its spool file, or what the log has where that is not
// what the record says.
func (r *ReadOnly) Bytes(rec *Record) (interface {
	io.ReaderAt
	io.Closer
}, error) {
	path := filepath.Join(r.dir, "spool", rec.ID)
	at, ok := r.logged.bytes[rec.ID]
	if !ok || rec.Sums == nil || rec.verifyFile(path) == nil {
		return os.Open(path)
	}
	log, err := at.open()
	if err != nil {
		return nil, err
	}
	if rec.Verify(log) == nil {
		return log, nil
	}
	log.Close()
	return os.Open(path)
}

// Close lets mounts use the directory again.
func (r *ReadOnly) Close() error { return r.db.Close() }

// Read gives the records of a journal without opening it for work, and whose it is.
// It fails with ErrLocked while a process has it open; the identity is known then
// all the same.
func Read(dir string) (Identity, []Record, error) {
	r, err := OpenReadOnly(dir)
	if err != nil {
		id, _ := readIdentity(dir) // where it cannot be read, err says so
		return id, nil, err
	}
	all, err := r.Records()
	return r.Identity, all, errors.Join(err, r.Close())
}
