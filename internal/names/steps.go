package names

import "time"

// stepped notes that a directory is about to be read, or to be listed for a name in it. Who
// reads the subdirectories of one directory in turn, or looks into one and the next, is
// taken to walk it. The caller holds t.mu.
func (t *Tree) stepped(dir string, read bool) {
	if dir == "" || t.unordered {
		return
	}
	top, name := parent(dir)
	l := t.dirs[top]
	if l == nil {
		return
	}
	e, ok := l.entries[name]
	if !ok || e.kind != KindDir || e.at == l.last {
		return
	}
	if time.Since(l.stepped) > sameWalk {
		l.steps, l.last = 0, -1
	}
	if read {
		l.steps++
	}
	l.stepped = time.Now()
	walking := l.steps >= 3 || l.last >= 0 && l.adjacent(l.last, e.at)
	l.last = e.at
	if !walking || t.walkOver(dir) != nil {
		return
	}
	after := t.key(dir)
	if here := t.dirs[dir]; t.believed(here) {
		if here.from != nil && !here.from.over {
			return
		}
		after += "0" // what follows the slash: no key below dir comes behind it
	}
	if len(t.walks) >= maxWalks {
		for _, w := range t.walks {
			t.endWalk(w)
			break
		}
	}
	if w := t.walks[top]; w != nil {
		t.endWalk(w)
	}
	t.walks[top] = &walk{top: top, prefix: t.dirKey(top), after: after, heard: time.Now(), expected: map[string]*listing{}}
}

// adjacent tells whether no directory lies between two of them.
func (l *listing) adjacent(from, to int) bool {
	if to < from || to-from > nearby {
		return false
	}
	for i := from + 1; i < to; i++ {
		if _, e, ok := l.name(i); ok && e.kind == KindDir {
			return false
		}
	}
	return true
}

// walkOver is the walk that will come to a directory; nil when none does. The caller
// holds t.mu.
func (t *Tree) walkOver(dir string) *walk {
	for top := dir; top != ""; {
		top, _ = parent(top)
		w := t.walks[top]
		if w == nil {
			continue
		}
		if key := t.dirKey(dir); !w.over && key > w.seen && key > w.after && time.Since(w.heard) < t.opts.TTL {
			return w
		}
	}
	return nil
}

// demandWalk asks for the pages of a walk up to a number. The caller holds t.mu.
func (t *Tree) demandWalk(w *walk, pages int) {
	w.want = max(w.want, pages)
	if !w.loading && !w.over && w.pages < w.want {
		w.loading = true
		go t.loadWalk(w)
	}
}

// readOn notes that a listing is being read: when a walk filled it, the walk goes on.
// The caller holds t.mu.
func (t *Tree) readOn(l *listing) {
	if l.from != nil && !l.fed {
		t.demandWalk(l.from, l.page+walkAhead)
	}
}
