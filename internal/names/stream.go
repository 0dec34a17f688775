package names

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Entry is one name of a directory.
type Entry struct {
	Name string
	Kind Kind // KindUnknown: a file or a link
	Ino  uint64
	Off  uint64 // of the entry behind it, for Seek
}

// Stream is a directory that is being read: the bucket's pages one after the
// other, then what is not in the bucket yet. An entry keeps its offset as long as
// the stream lives. It is used by one goroutine at a time.
type Stream struct {
	tree  *Tree
	dir   string
	list  *listing // being filled
	token string
	done  bool
	all   []string // names in the order in which they are shown
	seen  map[string]bool
	pos   int
}

// OpenDir begins to read a directory.
func (t *Tree) OpenDir(ctx context.Context, dir *Node) (*Stream, error) {
	s := &Stream{tree: t, dir: dir.Path(), seen: map[string]bool{}}
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.dirs[s.dir]; l != nil && l.loading == nil && l.err == nil && l.complete && time.Since(l.started) < t.opts.TTL {
		s.list = l
		s.show(l.sorted())
		s.finish()
		return s, nil
	}
	s.list = &listing{started: time.Now(), entries: map[string]entry{}}
	return s, nil
}

// sorted is the names in order. The caller holds Tree.mu.
func (l *listing) sorted() []string {
	if l.names == nil {
		for name := range l.entries {
			l.names = append(l.names, name)
		}
		slices.Sort(l.names)
	}
	return l.names
}

// show appends names, without those that are to be deleted. The caller holds
// Tree.mu.
func (s *Stream) show(names []string) {
	t := s.tree
	for _, name := range names {
		p := join(s.dir, name)
		e := s.list.entries[name]
		if t.unpublished(p) {
			if !s.seen[name] {
				s.seen[name] = true
				s.all = append(s.all, name)
			}
			continue
		}
		if c, ok := t.changes[p]; ok && c.object == nil && c.at.After(s.list.started) && e.kind != KindDir {
			continue
		}
		if s.seen[name] || e.kind != KindDir && t.nodes[p] == nil && t.isDoomed(p, &e.object) {
			continue
		}
		s.seen[name] = true
		s.all = append(s.all, name)
	}
}

// unpublished tells whether there is a file at the path that the bucket does not
// have, or not like this. The caller holds t.mu.
func (t *Tree) unpublished(p string) bool {
	n := t.nodes[p]
	return n != nil && !n.gone && n.file != nil && n.file.Dirty()
}

// finish appends what is not in the bucket yet. The caller holds Tree.mu.
func (s *Stream) finish() {
	s.done = true
	var own []string
	for p, n := range s.tree.nodes {
		if n.path == "" || n.gone {
			continue
		}
		if dir, name := parent(p); dir == s.dir && !s.seen[name] && n.file != nil && n.file.Dirty() {
			own = append(own, name)
		}
	}
	for p, c := range s.tree.changes { // published while the pages came
		if dir, name := parent(p); dir == s.dir && !s.seen[name] && c.object != nil && !c.at.Before(s.list.started) {
			s.list.entries[name] = entry{kind: sizeKind(c.object), object: *c.object}
			own = append(own, name)
		}
	}
	slices.Sort(own)
	s.show(slices.Compact(own))
}

// Next is the next entry; false at the end.
func (s *Stream) Next(ctx context.Context) (Entry, bool, error) {
	for s.pos >= len(s.all) {
		if s.done {
			return Entry{}, false, nil
		}
		if err := s.page(ctx); err != nil {
			return Entry{}, false, err
		}
	}
	name := s.all[s.pos]
	s.pos++
	t := s.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	p := join(s.dir, name)
	e := Entry{Name: name, Kind: s.list.entries[name].kind, Ino: inoOf(p, 0), Off: uint64(s.pos)}
	if n := t.nodes[p]; n != nil {
		e.Kind, e.Ino = n.kind, n.ino
	}
	return e, true, nil
}

// page fetches the next page of the bucket's listing.
func (s *Stream) page(ctx context.Context) error {
	t := s.tree
	page, err := t.listPage(ctx, s.dir, s.token)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	names := t.addPage(s.list, s.dir, page)
	slices.SortFunc(names, strings.Compare)
	s.show(names)
	s.token = page.Next
	if page.Next == "" {
		s.list.complete = true
		t.correct(s.list, s.dir)
		t.dirs[s.dir] = s.list
		s.finish()
	}
	return nil
}

// Seek goes to an offset that an Entry had, or to 0.
func (s *Stream) Seek(off uint64) { s.pos = min(int(off), len(s.all)) }

// Close ends the reading.
func (s *Stream) Close() {}
