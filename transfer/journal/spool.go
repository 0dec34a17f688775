package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"s3mount/internal/mem"
)

// ErrSpoolFull: the spool's limit leaves no room for the bytes.
var ErrSpoolFull = errors.New("the spool is full")

// Spool is the directory of spool files, and the count of the bytes they may take.
type Spool struct {
	dir    string
	limit  int64
	found  map[string]int64 // what files of earlier processes took when they were counted
	budget *mem.Budget      // for blocks on their way to and from the disk
	arena  *mem.Arena

	maxOpen int // files with descriptors, about

	mu    sync.Mutex
	used  int64
	files map[*File]bool // in use
	open  int            // of them, those with descriptors
}

func openSpool(dir string, o Options) (*Spool, error) {
	s := &Spool{dir: dir, limit: o.SpoolLimit, budget: o.Budget, arena: o.Arena, files: map[*File]bool{}, found: map[string]int64{}}
	s.maxOpen = min(max(openFiles()/openShare, leastOpen), mostOpen)
	if s.budget == nil {
		s.budget, s.arena = mem.New(64<<20), mem.NewArena()
	}
	names, err := s.IDs()
	if err != nil {
		return nil, err
	}
	for _, id := range names {
		n, err := allocated(filepath.Join(dir, id))
		if err != nil {
			return nil, err
		}
		s.used += n
		s.found[id] = n
	}
	if s.limit == 0 {
		s.limit = s.used + o.SpoolFree
	}
	return s, nil
}

// IDs is the contents that have a spool file.
func (s *Spool) IDs() ([]string, error) {
	list, err := os.ReadDir(s.dir)
	var ids []string
	for _, e := range list {
		ids = append(ids, e.Name())
	}
	return ids, err
}

// Used is the bytes that spool files take.
func (s *Spool) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Limit is the most they may take.
func (s *Spool) Limit() int64 { return s.limit }

// reserve books n bytes before they are written.
func (s *Spool) reserve(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.limit {
		return ErrSpoolFull
	}
	s.used += n
	return nil
}

func (s *Spool) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used -= n; s.used < 0 {
		panic(fmt.Sprintf("journal: %d spool bytes released too often", -s.used))
	}
}

// close gives back the memory of files that are still open. What was not synced is
// lost.
func (s *Spool) close() {
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.files))
	s.mu.Unlock()
	for _, f := range open {
		f.abandon()
	}
}
