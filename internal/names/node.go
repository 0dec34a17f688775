package names

import (
	"cmp"
	"hash/fnv"
	"strconv"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// Kind is what a name stands for.
type Kind uint8

// The kinds. KindUnknown only appears in listings: a small object may be a link.
const (
	KindUnknown Kind = iota
	KindFile
	KindDir
	KindLink
)

// Attr is what stat(2) shows.
type Attr struct {
	Kind                Kind
	Size                int64
	Mode                uint32 // permission bits, 07777
	UID, GID            uint32
	Atime, Mtime, Ctime time.Time
	Nlink               uint32
	Exact               bool          // not just what the listing says
	TTL                 time.Duration // how long the kernel may rely on it; 0: it asks each time
	NameTTL             time.Duration // how long it may rely on the name
}

// Node is one file, directory or link that the kernel knows, or that is waiting to
// be published. It stays the same node over renames. Its fields are guarded by
// Tree.mu.
type Node struct {
	tree *Tree
	path string // below the mount, names escaped; "" for the root
	kind Kind
	ino  uint64
	gone bool // unlinked, or replaced by another client's version
	held bool // the kernel may know it

	file    *transfer.File // of files and links, made when it is needed; of directories: the marker while only the journal has it
	object  s3.Object      // as listed or asked for; of directories: the marker
	exact   bool           // object and meta come from the object itself
	meta    transfer.Meta
	target  string // of a link
	checked time.Time
}

// Kind of the node.
func (n *Node) Kind() Kind { return n.kind }

// Ino is the inode number: unique among nodes in use, the same after a remount
// unless another node in use had it then.
func (n *Node) Ino() uint64 { return n.ino }

// Path is the node's present path below the mount, for messages.
func (n *Node) Path() string {
	n.tree.mu.Lock()
	defer n.tree.mu.Unlock()
	return n.path
}

// inoOf is the inode number that a path has when nothing else uses it.
func inoOf(p string, salt int) uint64 {
	h := fnv.New64a()
	h.Write([]byte(p))
	if salt > 0 {
		h.Write([]byte{0, byte(salt), byte(salt >> 8)})
	}
	if v := h.Sum64(); v > 1 {
		return v
	}
	return 2
}

// node returns the node at a path, and makes it when there is none. The caller
// holds t.mu.
func (t *Tree) node(p string, kind Kind) *Node {
	if n := t.nodes.at(p); n != nil && n.kind == kind {
		n.held = true
		return n
	} else if n != nil {
		t.detach(n)
	}
	n := &Node{tree: t, path: p, kind: kind, held: true, ino: inoOf(p, 0)}
	for salt := 1; t.inos[n.ino] != nil; salt++ {
		n.ino = inoOf(p, salt)
	}
	t.inos[n.ino] = n
	t.nodes.set(p, n)
	return n
}

// detach takes a node out of its path. The caller holds t.mu.
func (t *Tree) detach(n *Node) {
	n.gone = true
	if t.nodes.at(n.path) == n {
		t.nodes.del(n.path)
	}
}

// Forget is called when the kernel has forgotten the node.
func (n *Node) Forget() {
	t := n.tree
	t.mu.Lock()
	n.held = false
	t.reap(n)
	t.mu.Unlock()
}

// reap drops a node that nobody needs. The caller holds t.mu.
func (t *Tree) reap(n *Node) {
	if n.held || n == t.root || n.file != nil && n.file.InUse() {
		return
	}
	if t.nodes.at(n.path) == n {
		t.nodes.del(n.path)
	}
	delete(t.inos, n.ino)
	if f := n.file; f != nil {
		n.file = nil
		go f.Forget() // takes the file's lock; closes a reader
	}
}

// learn takes over what the bucket said of the node at a time. The caller holds t.mu.
func (t *Tree) learn(n *Node, o s3.Object, asked time.Time) {
	if asked.After(n.checked) {
		n.checked = asked
	}
	if n.exact && n.object.ETag == o.ETag && !o.HasProps {
		return
	}
	if o.HasProps || n.object.ETag != o.ETag {
		n.meta = transfer.ReadMeta(&o, t.defaults(n.kind))
		n.object, n.exact = o, o.HasProps
		if n.file != nil && n.exact {
			n.file.Learn(n.meta, o)
		}
	}
}

func (t *Tree) defaults(k Kind) transfer.Meta {
	m := t.opts.Default
	switch k {
	case KindDir:
		m.Mode = transfer.ModeDir | 0o777&^t.opts.Umask
	case KindLink:
		m.Mode = transfer.ModeLink | 0o777
	default:
		m.Mode = transfer.ModeFile | 0o666&^t.opts.Umask
	}
	return m
}

// Known is the node's attributes as far as they are known here.
func (n *Node) Known() Attr {
	t := n.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.attr(n)
}

// attr builds the attributes. The caller holds t.mu.
func (t *Tree) attr(n *Node) Attr {
	meta, size, exact := n.meta, n.object.Size, n.exact
	if f := n.file; f != nil && n.kind != KindDir {
		if dirty := f.Dirty(); dirty || exact {
			meta, exact = f.Meta(), true
		}
		size = f.Size()
	}
	a := Attr{Kind: n.kind, Size: size, Mode: meta.Mode & 0o7777, UID: meta.UID, GID: meta.GID, Nlink: 1, Exact: exact}
	switch n.kind {
	case KindDir:
		a.Size, a.Nlink = 4096, 2
		if l := t.dirs[n.path]; l != nil && l.complete {
			a.Nlink += uint32(l.subdirs) // their ".."
		}
	case KindLink:
		a.Size, a.Mode = int64(len(n.target)), 0o777
	}
	if n.gone {
		a.Nlink = 0
	}
	a.Mtime = time.Unix(0, meta.MtimeNS)
	a.Atime = time.Unix(0, cmp.Or(meta.AtimeNS, meta.MtimeNS))
	a.Ctime = time.Unix(0, cmp.Or(meta.CtimeNS, meta.MtimeNS))
	a.NameTTL = max(t.opts.TTL-time.Since(n.checked), 0)
	if n == t.root || n.file != nil && n.file.Dirty() { // nobody else can change what only we have
		a.NameTTL = t.opts.TTL
	}
	if exact || t.opts.ListedTimes {
		a.TTL = a.NameTTL
	}
	return a
}

// String is for log lines.
func (n *Node) String() string { return strconv.Quote(n.Path()) }
