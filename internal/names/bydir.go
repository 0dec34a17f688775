package names

import "strings"

// byDir keeps values by path, so that those of one directory are found without a look at
// all the others.
type byDir[V any] map[string]map[string]V

// get is the value at a path.
func (b byDir[V]) get(p string) (V, bool) {
	dir, name := parent(p)
	v, ok := b[dir][name]
	return v, ok
}

// at is the value at a path, or the zero value.
func (b byDir[V]) at(p string) V {
	v, _ := b.get(p)
	return v
}

func (b byDir[V]) set(p string, v V) {
	dir, name := parent(p)
	if b[dir] == nil {
		b[dir] = map[string]V{}
	}
	b[dir][name] = v
}

func (b byDir[V]) del(p string) {
	dir, name := parent(p)
	delete(b[dir], name)
	if len(b[dir]) == 0 {
		delete(b, dir)
	}
}

// below calls visit with all that is below a directory, at any depth. visit may
// remove what it is called with.
func (b byDir[V]) below(top string, visit func(p string, v V)) {
	for dir, names := range b {
		if top != "" && dir != top && !strings.HasPrefix(dir, top+"/") {
			continue
		}
		for name, v := range names {
			visit(join(dir, name), v)
		}
	}
}
