package names

// headAhead asks for the names behind p that nobody knows yet: those of its directory,
// and of the next ones when somebody walks. The caller holds t.mu.
func (t *Tree) headAhead(p string) {
	dir, name := parent(p)
	l := t.dirs[dir]
	if l == nil {
		return
	}
	e, ok := l.entries[name]
	if !ok {
		return
	}
	enough := 1
	if e.kind == KindDir {
		enough = 2 // who walks is recognised by then; see listsNext
	} else {
		l.asked++
	}
	if l.turn++; !l.near(l.place, e.at) {
		l.turn = 0
	}
	l.place = e.at
	if l.turn < enough && l.from == nil {
		return
	}
	at := e.at + 1
	for room := maxAhead; l != nil && room > 0; l, at = l.next, 0 {
		room -= t.headsOf(l, at, room)
	}
}

// near tells whether few entries lie between two of which a HEAD tells what is not known.
func (l *listing) near(from, to int) bool {
	if from < 0 || to <= from || to-from > nearby {
		return false
	}
	unknown := 0
	for i := from + 1; i < to && unknown <= maxNear; i++ {
		if _, e, ok := l.name(i); ok && !e.known && !e.kept && !e.object.HasProps {
			unknown++
		}
	}
	return unknown <= maxNear
}

// headsOf begins the HEADs of at most n entries of a listing, and returns how many it
// looked at. The caller holds t.mu.
func (t *Tree) headsOf(l *listing, at, n int) int {
	if at == 0 && l.marker != nil && !l.marker.HasProps {
		t.begin(l.dir, true, t.turns)
	}
	end := min(at+n, len(l.order))
	for i := max(at, l.ahead); i < end; i++ {
		name, e, ok := l.name(i)
		switch {
		case !ok || e.known || e.kept || e.object.HasProps:
		case e.kind != KindDir:
			t.begin(join(l.dir, name), false, t.turns)
		case l.from == nil: // else its listing tells
			t.begin(join(l.dir, name), true, t.turns)
		}
	}
	l.ahead = max(l.ahead, end)
	return end - at
}
