package attrs

import (
	"bytes"
	"time"

	"go.etcd.io/bbolt"

	"s3mount/internal/s3"
)

// Recall completes the objects of a listing, in place, by what is remembered of these
// very versions.
func (s *Store) Recall(list []s3.Object) {
	if s == nil || len(list) == 0 {
		return
	}
	raw, aged, err := s.find(list)
	s.failed(err)
	for i := range list {
		if raw[i] == nil {
			continue
		}
		if again, ok := complete(&list[i], raw[i]); ok && (again || aged[i]) {
			s.put(list[i].Key, encode(fetched, list[i].LastModified, &list[i]))
		}
	}
}

// Knows tells whether anything is remembered of a key, and of one that begins with below.
func (s *Store) Knows(key, below string) (it, deeper bool) {
	if s == nil {
		return false, false
	}
	s.mu.Lock()
	it = s.waiting[key].raw != nil
	broken := s.broken
	s.mu.Unlock()
	if broken {
		return false, false
	}
	s.failed(s.view(func(tx *bbolt.Tx) error {
		for _, g := range generations {
			it = it || tx.Bucket(g).Get([]byte(key)) != nil
			k, _ := tx.Bucket(g).Cursor().Seek([]byte(below))
			deeper = deeper || bytes.HasPrefix(k, []byte(below))
		}
		return nil
	}))
	return it, deeper
}

// Marks are keys directly below a prefix, from the first to the last, each with so many
// entries before it as every says, as far as is remembered: what lies below a further slash is one
// entry. None is the last entry.
func (s *Store) Marks(prefix string, every int) (marks []string) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken {
		return nil
	}
	n := 0
	s.failed(s.view(func(tx *bbolt.Tx) error {
		m := newMerged(tx, prefix)
		for k := m.next(); k != nil && bytes.HasPrefix(k, []byte(prefix)); k = m.next() {
			n++
			if i := bytes.IndexByte(k[len(prefix):], '/'); i >= 0 {
				m.seek(append(bytes.Clone(k[:len(prefix)+i]), '/'+1))
			} else if n >= every {
				marks, n = append(marks, string(k)), 0
			}
		}
		return nil
	}))
	if n == 0 && len(marks) > 0 {
		marks = marks[:len(marks)-1]
	}
	return marks
}

// merged goes through the keys of both generations in their order.
type merged struct {
	cursors [2]*bbolt.Cursor
	keys    [2][]byte // that come next; nil: none
}

func newMerged(tx *bbolt.Tx, from string) *merged {
	m := &merged{}
	for i, g := range generations {
		m.cursors[i] = tx.Bucket(g).Cursor()
	}
	m.seek([]byte(from))
	return m
}

// seek goes to the first key that is not before one.
func (m *merged) seek(from []byte) {
	for i, c := range m.cursors {
		m.keys[i], _ = c.Seek(from)
	}
}

// next is the next key; nil at the end.
func (m *merged) next() []byte {
	k := m.keys[0]
	if other := m.keys[1]; k == nil || other != nil && bytes.Compare(other, k) < 0 {
		k = other
	}
	for i, c := range m.cursors {
		if k != nil && bytes.Equal(m.keys[i], k) {
			m.keys[i], _ = c.Next()
		}
	}
	return k
}

func (s *Store) view(fn func(tx *bbolt.Tx) error) (err error) {
	defer safely(&err)()
	return s.db.View(fn)
}

// find looks the records up. aged tells that one is of the old generation.
func (s *Store) find(list []s3.Object) (raw [][]byte, aged []bool, err error) {
	raw, aged = make([][]byte, len(list)), make([]bool, len(list))
	known := make([]bool, len(list))
	s.mu.Lock()
	broken, young := s.broken, s.young
	for i := range list {
		var w waiting
		w, known[i] = s.waiting[list[i].Key]
		raw[i] = w.raw
	}
	s.mu.Unlock()
	if broken {
		return make([][]byte, len(list)), aged, nil
	}
	err = s.view(func(tx *bbolt.Tx) error {
		now, old := tx.Bucket(generations[young]), tx.Bucket(generations[1-young])
		for i := range list {
			if known[i] {
				continue
			}
			v := now.Get([]byte(list[i].Key))
			if v == nil {
				v = old.Get([]byte(list[i].Key))
				aged[i] = v != nil
			}
			if v != nil {
				raw[i] = append([]byte(nil), v...) // it is the transaction's
			}
		}
		return nil
	})
	return raw, aged, err
}

// complete gives a listed object what a record says, if the record is of this version.
// again tells that the listing has shown when what we wrote was changed last.
func complete(o *s3.Object, raw []byte) (again, ok bool) {
	kind, second, m, err := decode(raw)
	if err != nil || m.ETag != o.ETag || m.Size != o.Size || !sameClass(m.Props.StorageClass, o.StorageClass) {
		return false, false
	}
	at := o.LastModified.Truncate(time.Second)
	switch {
	case kind == fetched && !at.Equal(second):
		return false, false
	case kind == written && at.After(second.Add(lateDate)): // somebody has changed it since
		return false, false
	}
	o.VersionID, o.Props, o.HasProps = m.VersionID, m.Props, true
	return kind == written, true
}

// sameClass compares the storage class of a listing, which a rule of the bucket may
// change without any trace in the time.
func sameClass(remembered, listed string) bool {
	const standard = "STANDARD"
	if remembered == "" {
		remembered = standard
	}
	return listed == "" || listed == remembered || remembered == standard && listed == standard
}
