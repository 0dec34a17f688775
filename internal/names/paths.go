package names

import (
	"path"
	"strings"
)

// key is the key of the object at a path.
func (t *Tree) key(p string) string {
	if p == "" {
		return t.opts.Prefix
	}
	parts := strings.Split(p, "/")
	for i, s := range parts {
		parts[i] = t.long.component(s)
	}
	return t.opts.Prefix + strings.Join(parts, "/")
}

// path is the path of a key; false for keys outside of the prefix.
func (t *Tree) path(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, t.opts.Prefix)
	if !ok {
		return "", false
	}
	parts := strings.Split(rest, "/")
	for i, s := range parts {
		parts[i] = t.long.show(s)
	}
	return strings.Join(parts, "/"), true
}

// Key is the key of what is at a path below the mountpoint.
func (t *Tree) Key(p string) string { return t.key(p) }

// Path is where the object with this key is shown, below the mountpoint; the key
// itself for one outside of the prefix.
func (t *Tree) Path(key string) string {
	if p, ok := t.path(strings.TrimSuffix(key, "/")); ok { // of a marker: its directory
		return p
	}
	return key
}

// dirKey is the prefix that the keys below a directory have.
func (t *Tree) dirKey(p string) string {
	if p == "" {
		return t.opts.Prefix
	}
	return t.key(p) + "/"
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func parent(p string) (dir, name string) {
	dir, name = path.Split(p)
	return strings.TrimSuffix(dir, "/"), name
}
