package names

import (
	"context"
	"slices"

	"s3mount/internal/s3"
)

// sideBySide is how many pages are asked for at once, where marks tell at which keys they
// begin.
const sideBySide = 8

// pager is how far the pages of a listing have come. They follow one another by their
// tokens. A directory that was seen before, maybe by an earlier mount, has marks besides:
// keys at which pages are likely to begin, so that several can be asked for at once. A page
// is taken as far as the next mark only; one that ends before it is followed by its token.
// So what is listed never depends on the marks.
type pager struct {
	token  string   // of the next page
	after  string   // key behind which that begins, where there is no token
	seen   string   // latest key
	marks  []string // behind it
	marked bool     // they were looked for
}

// load fetches the pages of a listing that somebody wants.
func (t *Tree) load(l *listing) {
	var coming []<-chan fetched
	for {
		t.mu.Lock()
		coming = t.request(l, coming, l.want-l.pages)
		if len(coming) == 0 {
			l.loading = false
			t.mu.Unlock()
			return
		}
		mark := l.want-l.pages > 1 && !l.marked && !t.unordered
		t.mu.Unlock()
		if mark {
			t.mark(l)
			continue
		}
		coming = t.take(l, <-coming[0], coming[1:])
	}
}

// mark looks for the marks of a listing.
func (t *Tree) mark(l *listing) {
	marks := t.opts.Attrs.Marks(t.dirKey(l.dir), pageSize)
	t.mu.Lock()
	defer t.mu.Unlock()
	l.marked = true
	l.marks = slices.DeleteFunc(marks, func(key string) bool { return key <= l.seen })
}

// request adds to the pages that are on their way those that somebody wants. Who wants more
// than one is reading the directory. The caller holds t.mu.
func (t *Tree) request(l *listing, coming []<-chan fetched, wanted int) []<-chan fetched {
	if l.complete || l.err != nil {
		return nil
	}
	prefix := t.dirKey(l.dir)
	switch {
	case len(coming) > 0 && coming[0] == nil:
		coming[0] = t.fetch(prefix, "/", l.after, l.token)
	case len(coming) == 0 && wanted > 0:
		coming = append(coming, t.fetch(prefix, "/", l.after, l.token))
	}
	for wanted > 1 && len(coming) < sideBySide && len(coming) <= len(l.marks) {
		coming = append(coming, t.fetch(prefix, "/", l.marks[len(coming)-1], ""))
	}
	return coming
}

// take takes in a page, and returns those on their way behind it: what follows is asked for
// before that.
func (t *Tree) take(l *listing, p fetched, coming []<-chan fetched) []<-chan fetched {
	t.mu.Lock()
	complete := p.err == nil && p.Next == ""
	if p.err != nil || complete {
		coming = nil
	} else {
		coming = t.request(l, t.advance(l, &p, coming), l.want-l.pages-1)
	}
	t.mu.Unlock()
	t.opts.Attrs.Recall(p.Objects)
	p.Prefixes = t.living(context.Background(), p.Prefixes)
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.err = p.err; p.err == nil {
		l.heard = p.asked
		if l.pages++; l.pages == 1 {
			l.started = p.asked
		}
		t.addPage(l, p.Page, p.asked)
		if l.complete = complete; complete {
			l.before = nil
		}
		t.missing(l)
	}
	l.tell()
	return coming
}

// advance moves the pager behind a page that is not the last one, and cuts that at the next
// mark. coming are the pages that begin at marks; nil stands for one that is not asked for. The
// caller holds t.mu.
func (t *Tree) advance(l *listing, p *fetched, coming []<-chan fetched) []<-chan fetched {
	last := lastKey(&p.Page)
	switch {
	case len(l.marks) > 0 && !follows(&p.Page, l.seen):
		t.opts.Log.Warn("the server does not list keys in their order: pages are asked for one after the other", "prefix", t.dirKey(l.dir))
		t.unordered = true
		l.pager = pager{marked: true} // from the beginning
		return nil
	case len(l.marks) > 0 && last >= l.marks[0]:
		cut(&p.Page, l.marks[0])
		l.pager = pager{after: l.marks[0], seen: l.marks[0], marks: l.marks[1:], marked: true}
		return coming
	}
	l.token, l.seen = p.Next, last
	if len(coming) > 0 {
		coming = append([]<-chan fetched{nil}, coming...)
	}
	return coming
}

// lastKey is the last key or prefix of a page.
func lastKey(p *s3.Page) (last string) {
	if n := len(p.Objects); n > 0 {
		last = p.Objects[n-1].Key
	}
	if n := len(p.Prefixes); n > 0 {
		last = max(last, p.Prefixes[n-1])
	}
	return last
}

// follows tells whether all of a page is behind a key, in order.
func follows(p *s3.Page, key string) bool {
	before := key
	for i := range p.Objects {
		if p.Objects[i].Key <= before {
			return false
		}
		before = p.Objects[i].Key
	}
	before = key
	for _, prefix := range p.Prefixes {
		if prefix <= before {
			return false
		}
		before = prefix
	}
	return true
}

// cut takes what is behind a key out of a page.
func cut(p *s3.Page, end string) {
	p.Objects = slices.DeleteFunc(p.Objects, func(o s3.Object) bool { return o.Key > end })
	p.Prefixes = slices.DeleteFunc(p.Prefixes, func(prefix string) bool { return prefix > end })
}
