package disk

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"

	"github.com/zeebo/xxh3"
)

const (
	// aliasSize is the length of a record in the file aliases:
	//
	//	 0 16  content ID
	//	16 16  the ID under which its blocks are kept
	//	32  8  xxh3 of the 32 bytes before, seeded with the salt of the index
	aliasSize = 40
	// aliasMost is how many there may be; fewer than slots in any case. Then all are
	// forgotten: their blocks are fetched again.
	aliasMost = 100_000
)

// aliases are IDs of contents whose bytes are kept under another ID: an object that was
// copied has the same bytes. Like the index it is never synced. Its lock is innermost.
type aliases struct {
	mu   sync.RWMutex
	ids  map[ID]ID
	file *os.File // nil: they last as long as the process
	size int64
}

// Alias says that id has the bytes of other.
func (t *Tier) Alias(id, other ID) {
	if t == nil {
		return
	}
	other = t.real(other)
	if id == other || t.real(id) == other {
		return
	}
	t.mu.Lock()
	salt := t.mu.header.salt
	t.mu.Unlock()
	a := &t.aliases
	a.mu.Lock()
	defer a.mu.Unlock()
	if most := t.aliasMost(); len(a.ids) >= most || a.size >= int64(most)*aliasSize { // the file may name one twice
		clear(a.ids)
		a.empty()
	}
	a.ids[id] = other
	a.write(id, other, salt)
}

// aliasMost is how many aliases the limit in bytes has room for.
func (t *Tier) aliasMost() int { return min(aliasMost, int(t.slots)) }

// write adds a record to the file. The lock is held.
func (a *aliases) write(id, other ID, salt uint64) {
	if a.file == nil {
		return
	}
	p := make([]byte, aliasSize)
	copy(p, id[:])
	copy(p[16:], other[:])
	binary.LittleEndian.PutUint64(p[32:], xxh3.HashSeed(p[:32], salt))
	if _, err := a.file.WriteAt(p, a.size); err == nil {
		a.size += aliasSize
	}
}

// empty cuts the file. The lock is held.
func (a *aliases) empty() {
	a.size = 0
	if a.file != nil && a.file.Truncate(0) != nil {
		a.file.Close() // nothing depends on it
		a.file = nil
	}
}

// forget drops all of them: the records of before have another salt.
func (a *aliases) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.ids)
	a.empty()
}

// real is the ID under which the blocks of id are kept.
func (t *Tier) real(id ID) ID {
	a := &t.aliases
	a.mu.RLock()
	defer a.mu.RUnlock()
	if other, ok := a.ids[id]; ok {
		return other
	}
	return id
}

// loadAliases reads the file, as far as its records are sound. Without it the tier works too.
func (t *Tier) loadAliases() {
	a := &t.aliases
	a.ids = map[ID]ID{}
	name := filepath.Join(t.dir, "aliases")
	all, _ := os.ReadFile(name)
	for ; len(all) >= aliasSize && len(a.ids) < t.aliasMost(); all = all[aliasSize:] {
		if binary.LittleEndian.Uint64(all[32:]) != xxh3.HashSeed(all[:32], t.mu.header.salt) {
			break
		}
		a.ids[ID(all[:16])] = ID(all[16:32])
		a.size += aliasSize
	}
	var err error
	if a.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		t.log.Warn("blocks of objects that are renamed will be fetched again after a restart", "err", err)
		a.file = nil
		return
	}
	if a.file.Truncate(a.size) != nil {
		a.close()
		a.file = nil
	}
}

func (a *aliases) close() {
	if a.file != nil {
		a.file.Close() // nothing depends on it
	}
}
