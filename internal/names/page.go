package names

import (
	"context"
	"slices"
	"strings"
	"time"

	"s3mount/internal/s3"
)

// maxFull is how many entries have in memory what is remembered on disk too: somebody who
// reads a directory is about to look at what was listed latest.
const maxFull = 4 * pageSize

// fetched is a page as the bucket gave it.
type fetched struct {
	s3.Page
	asked time.Time
	err   error
}

// fetch asks for the page of a listing that begins behind a key, or at a token.
func (t *Tree) fetch(prefix, delimiter, after, token string) <-chan fetched {
	if token != "" {
		after = ""
	}
	page := make(chan fetched, 1)
	go func() {
		f := fetched{asked: time.Now()}
		f.Page, f.err = t.bucket.List(context.Background(), prefix, delimiter, after, token, pageSize)
		page <- f
	}()
	return page
}

// fullEntry is an entry that has what its object carries.
type fullEntry struct {
	list *listing
	name string
}

// noteFull notes an entry that has what its object carries. Those that were listed before
// it leave that to the disk: a directory may have very many. The caller holds t.mu.
func (t *Tree) noteFull(l *listing, name string) {
	if t.full = append(t.full, fullEntry{l, name}); len(t.full) <= maxFull {
		return
	}
	for _, f := range t.full[:pageSize] {
		if e := f.list.entries[f.name]; e.kept {
			e.object.Props, e.object.HasProps = s3.Properties{}, false
			f.list.entries[f.name] = e
		}
	}
	t.full = slices.Clone(t.full[pageSize:])
}

// whole is an entry with what its object carries, if that is known. The caller does not
// hold t.mu.
func (t *Tree) whole(e entry) entry {
	if !e.kept || e.object.HasProps {
		return e
	}
	one := []s3.Object{e.object}
	t.opts.Attrs.Recall(one)
	if e.object, e.kept = one[0], false; !e.object.HasProps { // forgotten meanwhile
		e.kind = sizeKind(&e.object)
	}
	return e
}

// addPage takes one page of a listing, in the order of the keys. The caller holds t.mu.
func (t *Tree) addPage(l *listing, page s3.Page, asked time.Time) {
	prefix := t.dirKey(l.dir)
	dirs := page.Prefixes
	add := func() {
		if name := dirs[0][len(prefix):]; !strings.HasPrefix(name, ScratchPrefix) { // MinIO lists a dying object so
			l.putDir(t.long.show(strings.TrimSuffix(name, "/")))
		}
		dirs = dirs[1:]
	}
	for _, o := range page.Objects {
		for len(dirs) > 0 && dirs[0] < o.Key {
			add()
		}
		t.addObject(l, o.Key[len(prefix):], o, asked)
	}
	for len(dirs) > 0 {
		add()
	}
}

// addObject takes an object that was listed in a directory; rest is its key below that.
// What we did to it since we asked goes first. The caller holds t.mu.
func (t *Tree) addObject(l *listing, rest string, o s3.Object, asked time.Time) {
	if rest == "" {
		l.marker = &o
		return
	}
	if strings.HasPrefix(rest, ScratchPrefix) {
		return
	}
	name := t.long.show(rest)
	if e, ok := l.entries[name]; ok && e.kind == KindDir {
		name += fileTwin
	}
	kept := o.HasProps // by Recall
	if c, ok := t.changes.get(join(l.dir, name)); ok && c.at.After(asked) {
		if c.object == nil {
			return
		}
		o, kept = *c.object, false
	}
	t.compare(t.nodes.at(join(l.dir, name)), o.ETag)
	l.put(name, entry{kind: sizeKind(&o), object: o, kept: kept})
	if kept {
		t.noteFull(l, name)
	}
}
