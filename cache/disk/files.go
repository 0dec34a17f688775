package disk

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"s3mount/internal/mem"
)

// loadRun is how many records are read at once.
const loadRun = 16 << 10

// misplaced tells that something else lies where the files should be.
func misplaced(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EEXIST)
}

// attach opens and locks the files, and empties them when they are not ours.
func (t *Tier) attach(identity string) (err error) {
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return err
	}
	if t.index, err = os.OpenFile(filepath.Join(t.dir, "index"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if t.data, err = os.OpenFile(filepath.Join(t.dir, "data"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return errors.Join(err, t.index.Close())
	}
	err = unix.Flock(int(t.index.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err == nil {
		err = t.recognise(identityOf(identity))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", t.dir, err), t.index.Close(), t.data.Close())
	}
	t.direct = openDirect(t.data.Name())
	return nil
}

// recognise reads the header, begins anew where it is not ours, and cuts what a lower
// limit leaves no room for.
func (t *Tier) recognise(identity [32]byte) error {
	p := make([]byte, headerSize)
	n, err := t.index.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, ok := decodeHeader(p[:n])
	if !ok || h.identity != identity {
		if n > 0 {
			t.log.Warn("the block cache is damaged, of another version or of another bucket: it starts empty", "dir", t.dir)
		}
		t.mu.header, err = t.reset(identity)
		return err
	}
	t.mu.header = h
	return errors.Join(
		shorten(t.index, headerSize+int64(t.slots)*recordSize),
		shorten(t.data, int64(t.slots)*mem.BlockSize))
}

// shorten cuts a file to a size, and what is reserved behind its end.
func shorten(f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil || info.Size() <= size && occupied(info) <= size {
		return err
	}
	return f.Truncate(min(size, info.Size()))
}

// occupied is the bytes that a file takes on disk; 0 where that is not known.
func occupied(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return 0
}

// reset empties the files. Records of before do not count, whatever becomes of them:
// the salt is another one.
func (t *Tier) reset(identity [32]byte) (header, error) {
	var salt [8]byte
	rand.Read(salt[:]) // never fails, see crypto/rand
	h := header{identity: identity, salt: binary.LittleEndian.Uint64(salt[:])}
	if err := errors.Join(t.index.Truncate(0), t.data.Truncate(0)); err != nil {
		return h, err
	}
	_, err := t.index.WriteAt(h.encode(), 0)
	return h, err
}

// found is a record that the index file has.
type found struct {
	slot uint32
	main bool
	uses uint8
	hash uint64
	at   uint64 // stamp
}

// load reads the index. Records that are not sound, and those of slots that the data file
// does not have, are left out.
func (t *Tier) load() error {
	defer close(t.loaded)
	info, err := t.data.Stat()
	if err != nil {
		return err
	}
	slots := uint32(min((info.Size()+mem.BlockSize-1)/mem.BlockSize, int64(t.slots)))
	all, damaged, err := t.readRecords(slots)
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.at, b.at) })
	x := newIndex(t.slots)
	x.fresh, x.usable = slots, slots
	stamp := uint64(0)
	for _, f := range all {
		stamp = f.at
		if old := x.find(f.hash); old != none { // written again after it had been damaged
			x.drop(old)
		}
		x.enter(f.slot, f.hash, f.main, f.uses)
	}
	for slot := range slots {
		if x.state(slot) == slotFree {
			x.giveBack(slot)
		}
	}
	x.sweep()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.x, t.mu.stamp, t.mu.allocated = x, stamp, slots
	t.mu.stats.Damaged += damaged
	return err
}

// readRecords reads the records of the first slots.
func (t *Tier) readRecords(slots uint32) (all []found, damaged int64, err error) {
	salt := t.mu.header.salt // nobody else is there yet
	buf := make([]byte, loadRun*recordSize)
	for first := uint32(0); first < slots; first += loadRun {
		n, err := t.index.ReadAt(buf[:min(loadRun, slots-first)*recordSize], headerSize+int64(first)*recordSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return all, damaged, err
		}
		for i := uint32(0); int(i+1)*recordSize <= n; i++ {
			p := buf[i*recordSize:][:recordSize]
			r, ok := decodeRecord(p, salt, first+i)
			if !ok {
				if p[28] != 0 {
					damaged++
				}
				continue
			}
			all = append(all, found{first + i, r.main, r.uses, hashOf(r.id, r.index, salt), r.stamp})
		}
	}
	return all, damaged, nil
}

// save brings the records up to what is known: which blocks were of use, and which
// are gone. A tier that was not closed does without.
func (t *Tier) save() error {
	t.mu.Lock()
	x, salt := t.mu.x, t.mu.header.salt
	t.mu.Unlock()
	if x == nil {
		return nil
	}
	buf := make([]byte, loadRun*recordSize)
	for first := uint32(0); first < x.fresh; first += loadRun {
		at := headerSize + int64(first)*recordSize
		run := buf[:min(loadRun, x.fresh-first)*recordSize]
		n, err := t.index.ReadAt(run, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		clear(run[n:])
		t.mu.Lock()
		for i := uint32(0); int(i) < len(run)/recordSize; i++ {
			x.patch(run[i*recordSize:][:recordSize], salt, first+i)
		}
		t.mu.Unlock()
		if _, err := t.index.WriteAt(run, at); err != nil {
			return err
		}
	}
	return nil
}

// patch brings one record up to what is known of its slot.
func (x *index) patch(p []byte, salt uint64, slot uint32) {
	r, ok := decodeRecord(p, salt, slot)
	state := x.state(slot)
	if !ok || state != slotSmall && state != slotMain {
		clear(p)
		return
	}
	r.main, r.uses = state == slotMain, x.uses(slot)
	r.encode(p, salt, slot)
}
