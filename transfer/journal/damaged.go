package journal

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

var (
	stateBucket = []byte("state")
	cleanKey    = []byte("clean")
)

// takeClean reads the mark that the last process ended well, and removes it. A
// journal that holds nothing is clean.
func (j *Journal) takeClean(tx *bbolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists(stateBucket)
	if err != nil {
		return err
	}
	first, _ := tx.Bucket(recordsBucket).Cursor().First()
	j.clean = first == nil || b.Get(cleanKey) != nil
	return b.Delete(cleanKey)
}

// markClean notes that the process ends well. Where the last one did not, and
// nobody has looked at what it left, that stays so.
func (j *Journal) markClean() error {
	if !j.clean {
		return nil
	}
	return j.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(stateBucket).Put(cleanKey, []byte{1}) })
}

// Clean tells whether the last process that used the directory ended well. If not,
// its spool files have to be verified, and Verified called.
func (j *Journal) Clean() bool { return j.clean }

// Verified notes that all spool files were looked at.
func (j *Journal) Verified() { j.clean = true }

// Verify compares the record's spool file with its checksums. It fails with
// ErrDamaged.
func (j *Journal) Verify(r *Record) error { return r.verifyFile(filepath.Join(j.dir, "spool", r.ID)) }

// SetAside takes a record out of the journal: its bytes and the record itself, as
// JSON, go to the directory damaged. It returns the path of the bytes. It may be
// repeated after a crash.
func (j *Journal) SetAside(r *Record) (path string, err error) {
	dir := filepath.Join(j.dir, "damaged")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, r.ID)
	if err := writeDurably(path+".json", append(raw, '\n')); err != nil {
		return path, err
	}
	if err := j.Spool.moveOut(r.ID, path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	if err := syncDir(dir); err != nil {
		return path, err
	}
	return path, j.Apply(nil, r.ID)
}

// moveOut gives a spool file another name outside of the spool.
func (s *Spool) moveOut(id, path string) error {
	if err := os.Rename(filepath.Join(s.dir, id), path); err != nil {
		return err
	}
	s.release(s.found[id])
	return syncDir(s.dir)
}
