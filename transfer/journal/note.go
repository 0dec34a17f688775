package journal

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// Note is what SetNote kept under the name; nil when there is none. It is for what
// is known of the store, and costs no more than a few requests when it is lost.
func (j *Journal) Note(name string) (value []byte) {
	err := j.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(stateBucket); b != nil {
			value = bytes.Clone(b.Get([]byte("note " + name)))
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return value
}

// SetNote keeps a value under a name.
func (j *Journal) SetNote(name string, value []byte) error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(stateBucket)
		if err != nil {
			return err
		}
		return b.Put([]byte("note "+name), value)
	})
}
