package journal

import (
	"encoding/json"
	"errors"
	"fmt"
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

	dir string
	db  *bbolt.DB
}

// OpenReadOnly opens a directory and changes nothing in it. It fails with ErrLocked
// while a mount uses it, and with ErrFormat when it has another format.
func OpenReadOnly(dir string) (*ReadOnly, error) {
	id, err := readIdentity(dir)
	if err != nil {
		return nil, err
	}
	if id.Version != Version {
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
	return &ReadOnly{Identity: id, dir: dir, db: db}, nil
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
func (r *ReadOnly) Records() ([]Record, error) { return readRecords(r.db) }

// Verify compares the record's spool file with its checksums. It fails with
// ErrDamaged.
func (r *ReadOnly) Verify(rec *Record) error { return rec.verifyFile(r.SpoolPath(rec.ID)) }

// SpoolPath is where the bytes of a content are.
func (r *ReadOnly) SpoolPath(id string) string { return filepath.Join(r.dir, "spool", id) }

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
