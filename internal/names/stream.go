package names

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Entry is one name of a directory.
type Entry struct {
	Name string
	Kind Kind // KindUnknown: a file or a link
	Ino  uint64
	Off  uint64 // of the entry behind it, for Seek
}

// Stream is a directory that is being read: the pages of its listing one after the other,
// the next ones asked for meanwhile, then what is not in the bucket yet. An entry keeps
// its offset as long as the stream lives. It is used by one goroutine at a time.
type Stream struct {
	tree  *Tree
	dir   string
	began time.Time
	list  *listing
	taken int // of list.order
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
	t.stepped(s.dir, true)
	s.list = t.listingOf(s.dir)
	s.began = s.list.started
	t.readOn(s.list)
	t.demand(s.list, s.list.pages+pagesAhead)
	return s, nil
}

// take shows what has come. The caller holds Tree.mu.
func (s *Stream) take() {
	for ; s.taken < len(s.list.order); s.taken++ {
		if name, e, ok := s.list.name(s.taken); ok {
			s.show(name, e)
		}
	}
	s.tree.demand(s.list, s.list.pages+pagesAhead)
	if s.list.complete {
		s.finish()
	}
}

// show appends a name, unless it is to be deleted. The caller holds Tree.mu.
func (s *Stream) show(name string, e entry) {
	t, p := s.tree, join(s.dir, name)
	if s.seen[name] {
		return
	}
	if !t.unpublished(p) && e.kind != KindDir {
		if c, ok := t.changes.get(p); ok && c.object == nil && c.at.After(s.began) {
			return
		}
		if t.nodes.at(p) == nil && t.isDoomed(&e.object) {
			return
		}
	}
	s.seen[name] = true
	s.all = append(s.all, name)
}

// unpublished tells whether there is a file at the path that the bucket does not
// have, or not like this. The caller holds t.mu.
func (t *Tree) unpublished(p string) bool {
	n := t.nodes.at(p)
	return n != nil && !n.gone && n.unpublished()
}

// unpublished tells whether the bucket does not have what the node has. The caller holds t.mu.
func (n *Node) unpublished() bool { return n.file != nil && n.file.Dirty() }

// finish shows what is not in the bucket yet. The caller holds Tree.mu.
func (s *Stream) finish() {
	t := s.tree
	s.done = true
	own := map[string]entry{}
	for name, n := range t.nodes[s.dir] {
		if n != t.root && t.unpublished(n.path) {
			own[name] = entry{kind: n.kind}
		}
	}
	for name, c := range t.changes[s.dir] { // published while the pages came
		if _, ok := s.list.entries[name]; !ok && c.object != nil && !c.at.Before(s.began) {
			own[name] = entry{kind: sizeKind(c.object), object: *c.object}
			s.list.put(name, own[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		s.show(name, own[name])
	}
}

// Next is the next entry; false at the end. Without wait it is false also where the next
// page has not come yet.
func (s *Stream) Next(ctx context.Context, wait bool) (Entry, bool, error) {
	t := s.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	for s.pos >= len(s.all) {
		switch {
		case s.done:
			return Entry{}, false, nil
		case s.taken < len(s.list.order) || s.list.complete:
			s.take()
			continue
		case s.list.err != nil:
			if old := t.standIn(s.list); old != s.list {
				s.list = old
				continue
			}
			return Entry{}, false, s.list.err
		}
		t.demand(s.list, s.list.pages+pagesAhead)
		if !wait {
			return Entry{}, false, nil
		}
		if err := t.await(ctx, s.list.news); err != nil {
			return Entry{}, false, err
		}
	}
	name := s.all[s.pos]
	s.pos++
	p := join(s.dir, name)
	e := Entry{Name: name, Kind: s.list.entries[name].kind, Ino: inoOf(p, 0), Off: uint64(s.pos)}
	if n := t.nodes.at(p); n != nil {
		e.Kind, e.Ino = n.kind, n.ino
	}
	return e, true, nil
}

// Node is the node of a name that Next has given, where no request is needed for it: who
// reads names may want nothing else. nil: whoever does has to look it up. The listing that the name came
// from answers, however long the reading of the directory takes.
func (s *Stream) Node(name string) *Node {
	t := s.tree
	p := join(s.dir, name)
	t.mu.Lock()
	n := t.nodes.at(p)
	if t.unpublished(p) {
		defer t.mu.Unlock()
		n.held = true
		return n
	}
	e, ok := s.list.entries[name]
	heard := s.list.heard
	if !ok || s.list.err != nil || time.Since(heard) >= t.opts.TTL && !time.Now().Before(s.list.until) {
		t.mu.Unlock()
		return nil
	}
	if t.knows(n, e, heard) {
		t.mu.Unlock()
		return n
	}
	t.mu.Unlock()
	e = t.whole(e)
	t.mu.Lock()
	defer t.mu.Unlock()
	target, ok := t.knownTarget(p, &e.object)
	if e.kind == KindUnknown && !t.opts.ListedTimes || e.kind == KindLink && !ok {
		return nil
	}
	n, _ = t.nodeOf(p, e, true, heard, target)
	return n
}

// Seek goes to an offset that an Entry of this stream had, or to 0.
func (s *Stream) Seek(off uint64) { s.pos = min(int(off), len(s.all)) }

// Close ends the reading.
func (s *Stream) Close() {}
