package attrs

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
)

// run writes what has waited, until Close.
func (s *Store) run() {
	defer s.ended.Done()
	for {
		select {
		case <-s.wake:
			s.rest()
			s.failed(s.flush(flushAfter))
		case <-s.done:
			s.failed(s.flush(0))
			return
		}
	}
}

// rest lets records wait.
func (s *Store) rest() {
	t := time.NewTimer(flushAfter)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.done:
	}
}

// flush writes what has waited so long in one transaction. Meanwhile it stays where Recall
// finds it.
func (s *Store) flush(age time.Duration) error {
	s.mu.Lock()
	if s.broken {
		s.mu.Unlock()
		return nil
	}
	batch := map[string][]byte{}
	for k, w := range s.waiting {
		if time.Since(w.since) >= age {
			batch[k] = w.raw
		}
	}
	if len(batch) < len(s.waiting) {
		select {
		case s.wake <- struct{}{}: // for the younger ones
		default:
		}
	}
	s.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	young, count := s.young, s.count
	err := s.update(func(tx *bbolt.Tx) error {
		young, count = s.young, s.count
		if count+len(batch) > s.half && count > 0 {
			young, count = 1-young, 0
			if err := tx.DeleteBucket(generations[young]); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(generations[young]); err != nil {
				return err
			}
			if err := tx.Bucket(stateBucket).Put(youngKey, generations[young]); err != nil {
				return err
			}
		}
		n, err := store(tx.Bucket(generations[young]), tx.Bucket(generations[1-young]), batch)
		count += n
		return errors.Join(err, tx.Bucket(stateBucket).Put(countKey, []byte(strconv.Itoa(count))))
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.young, s.count = young, count
	for k, raw := range batch {
		if now, ok := s.waiting[k]; ok && bytes.Equal(now.raw, raw) {
			delete(s.waiting, k)
		}
	}
	return nil
}

// store puts a batch into the young generation, and returns how many are new in it.
func store(young, old *bbolt.Bucket, batch map[string][]byte) (added int, err error) {
	for _, k := range slices.Sorted(maps.Keys(batch)) {
		key, raw := []byte(k), batch[k]
		if k == "" {
			continue
		}
		if raw == nil {
			err = errors.Join(young.Delete(key), old.Delete(key))
		} else {
			if young.Get(key) == nil {
				added++
			}
			err = young.Put(key, raw)
		}
		if err != nil {
			return added, err
		}
	}
	return added, nil
}
