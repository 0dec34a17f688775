package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/minio/crc64nvme"
	"go.etcd.io/bbolt"

	"s3mount/internal/mem"
)

// A log is a row of frames, each from a multiple of 4096 on:
//
//	8 bytes   "s3redo 1"
//	8         number of the frame: one more than that of the frame before, also over both logs
//	8         length of the entries in bytes
//	8         CRC64NVME of the 24 bytes before and of the entries
//	entries, then zeros up to a multiple of 4096
//
// and an entry is:
//
//	1 byte    'P': a record was written, 'R': removed, 'B': the bytes of its spool file
//	1         length of the ID
//	4         length of the body
//	ID, body  the record as JSON; nothing; the bytes from the first one on
//
// All numbers are big endian. The first frame that is not whole, or not newer than the one
// before it, ends the log: what follows is from before the log was emptied.
const (
	frameMagic  = "s3redo 1"
	frameHeader = 32
	entryHeader = 6

	entryPut, entryRemove, entryBytes = 'P', 'R', 'B'
)

// SmallContent is the most bytes that go to the journal together with their record.
const SmallContent = mem.BlockSize

// frame makes a frame of the changes in r.buf. What has no bytes in memory is synced.
func (r *redo) frame(batch []*change) error {
	b := append(r.buf[:0], make([]byte, frameHeader)...)
	for _, c := range batch {
		for i, rec := range c.put {
			b = appendEntry(b, entryPut, rec.ID, c.raw[i])
			if rec.Bytes == nil {
				continue
			}
			at := len(b)
			b = appendEntry(b, entryBytes, rec.ID, nil)
			n := rec.dataSize()
			var ok bool
			if b, ok = rec.Bytes.appendTo(b, n); ok {
				binary.BigEndian.PutUint32(b[at+2:], uint32(n))
				continue
			}
			b = b[:at]
			c.synced, c.err = true, rec.Bytes.Sync()
		}
		for _, id := range c.remove {
			b = appendEntry(b, entryRemove, id, nil)
		}
		if c.err != nil {
			r.buf = b
			return c.err // the others go the other way
		}
	}
	h := append(append([]byte{}, frameMagic...), make([]byte, frameHeader-len(frameMagic))...)
	binary.BigEndian.PutUint64(h[8:], r.seq+1)
	binary.BigEndian.PutUint64(h[16:], uint64(len(b)-frameHeader))
	binary.BigEndian.PutUint64(h[24:], frameSum(h, b[frameHeader:]))
	copy(b, h)
	r.buf = append(b, make([]byte, roundUp(int64(len(b)))-int64(len(b)))...)
	return nil
}

func frameSum(header, entries []byte) uint64 {
	return crc64nvme.Update(crc64nvme.Update(0, header[:24]), entries)
}

func appendEntry(b []byte, kind byte, id string, body []byte) []byte {
	b = append(b, kind, byte(len(id)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(append(b, id...), body...)
}

// dataSize is the number of the record's bytes that are in its spool file, from 0 on.
func (r *Record) dataSize() int64 {
	if len(r.Extents) == 0 {
		return 0
	}
	return r.Extents[0].Len
}

// putRaw writes and removes records, and notes that the frames up to seq are in.
func putRaw(tx *bbolt.Tx, records map[string][]byte, seq uint64) error {
	b := tx.Bucket(recordsBucket)
	for id, raw := range records {
		var err error
		if raw == nil {
			err = b.Delete([]byte(id))
		} else {
			err = b.Put([]byte(id), raw)
		}
		if err != nil {
			return err
		}
	}
	state, err := tx.CreateBucketIfNotExists(stateBucket)
	if err != nil {
		return err
	}
	return state.Put(redoKey, binary.BigEndian.AppendUint64(nil, seq))
}

var redoKey = []byte("redo")

// redoSeq is the number of the last frame that the database has.
func redoSeq(tx *bbolt.Tx) uint64 {
	if b := tx.Bucket(stateBucket); b != nil {
		if v := b.Get(redoKey); len(v) == 8 {
			return binary.BigEndian.Uint64(v)
		}
	}
	return 0
}

// logged is what the logs have and the database does not.
type logged struct {
	seq     uint64            // of the last frame
	records map[string][]byte // by ID, as JSON; nil: removed
	bytes   map[string]place  // of their spool files
}

// place is a run of bytes in a file.
type place struct {
	path   string
	off, n int64
}

// readLogs reads the frames that follow those which the database has.
func readLogs(dir string, after uint64) (*logged, error) {
	out := &logged{seq: after, records: map[string][]byte{}, bytes: map[string]place{}}
	first := make([]uint64, 2)
	for i := range first {
		if err := eachFrame(logPath(dir, i), after, func(seq uint64, _ int64, _ []byte) error {
			if first[i] == 0 {
				first[i] = seq
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	order := []int{0, 1}
	if first[1] < first[0] {
		order = []int{1, 0}
	}
	for _, i := range order {
		path := logPath(dir, i)
		if err := eachFrame(path, after, func(seq uint64, at int64, entries []byte) error {
			out.seq = max(out.seq, seq)
			return out.take(path, at, entries)
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// take applies the entries of a frame, which begin at a place of the log.
func (l *logged) take(path string, at int64, b []byte) error {
	for len(b) > 0 {
		if len(b) < entryHeader {
			return errFrame
		}
		k, n := int(b[1]), int(binary.BigEndian.Uint32(b[2:]))
		body := entryHeader + k
		if len(b) < body+n {
			return errFrame
		}
		id := string(b[entryHeader:body])
		switch b[0] {
		case entryPut:
			l.records[id] = bytes.Clone(b[body : body+n])
		case entryRemove:
			l.records[id] = nil
			delete(l.bytes, id)
		case entryBytes:
			l.bytes[id] = place{path, at + int64(body), int64(n)}
		default:
			return errFrame
		}
		b, at = b[body+n:], at+int64(body+n)
	}
	return nil
}

var errFrame = errors.New("journal: a frame of the log is whole, and makes no sense")

// eachFrame calls do for the frames of a log that are newer than after, with where their
// entries begin.
func eachFrame(path string, after uint64, do func(seq uint64, at int64, entries []byte) error) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var last uint64
	for at := int64(0); ; {
		h := make([]byte, frameHeader)
		if _, err := f.ReadAt(h, at); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		seq, n := binary.BigEndian.Uint64(h[8:]), int64(binary.BigEndian.Uint64(h[16:]))
		if string(h[:8]) != frameMagic || seq <= last || n < 0 || n > info.Size()-at-frameHeader {
			return nil
		}
		entries := make([]byte, n)
		if _, err := f.ReadAt(entries, at+frameHeader); err != nil {
			return err
		}
		if frameSum(h, entries) != binary.BigEndian.Uint64(h[24:]) {
			return nil
		}
		if seq > after {
			if err := do(seq, at+frameHeader, entries); err != nil {
				return err
			}
		}
		last, at = seq, at+roundUp(frameHeader+n)
	}
}

// record is a record that the logs have, nil when there is none.
func (l *logged) record(id string) (*Record, error) {
	raw := l.records[id]
	if raw == nil {
		return nil, nil
	}
	var r Record
	return &r, json.Unmarshal(raw, &r)
}
