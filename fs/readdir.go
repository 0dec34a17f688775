package fs

import (
	"context"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"s3mount/internal/names"
)

// dots is how many entries come before those of the bucket: "." and "..".
// Offsets of the stream are shifted by it.
const dots = 2

// mostNodes is how many entries bring their nodes to the kernel while nobody
// looks any up: who reads names only is to cost no more memory than that.
const mostNodes = 16_000

// dirHandle is an open directory: a position in a listing that is fetched
// page by page while it is read. go-fuse serializes the calls on it.
type dirHandle struct {
	node   *node
	stream *names.Stream
	pos    uint64 // 0: before ".", 1: before "..", dots: in the stream

	request context.Context // that is being answered
	given   bool            // it has an entry of the stream

	nodes   int    // that were given
	lookups uint64 // in the directory, when they were counted last
}

var (
	_ gofuse.NodeOpendirHandler = (*node)(nil)
	_ gofuse.FileReaddirenter   = (*dirHandle)(nil)
	_ gofuse.FileLookuper       = (*dirHandle)(nil)
	_ gofuse.FileSeekdirer      = (*dirHandle)(nil)
	_ gofuse.FileReleasedirer   = (*dirHandle)(nil)
	_ gofuse.FileFsyncdirer     = (*dirHandle)(nil)
)

// OpendirHandle opens a directory.
func (n *node) OpendirHandle(ctx context.Context, _ uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	s, err := n.fs.tree.OpenDir(c, n.names)
	if err != nil {
		return nil, 0, n.fail(c, "opendir", err)
	}
	return &dirHandle{node: n, stream: s}, 0, 0
}

// Readdirent returns the next entry, nil at the end of the directory or of the
// answer: one that has entries does not wait for more of them. The program
// works on those while the next page comes.
func (d *dirHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	if ctx != d.request { // go-fuse makes one for each request
		d.request, d.given = ctx, false
	}
	switch d.pos {
	case 0:
		d.pos = 1
		return &fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: d.node.names.Ino(), Off: 1}, 0
	case 1:
		d.pos = dots
		return &fuse.DirEntry{Name: "..", Mode: syscall.S_IFDIR, Ino: d.parentIno(), Off: dots}, 0
	}
	c := begin(ctx)
	defer c.end()
	e, ok, err := d.stream.Next(c, !d.given)
	if err != nil {
		return nil, d.node.fail(c, "readdir", err)
	}
	if !ok {
		return nil, 0
	}
	d.given = true
	return dirEntry(e), 0
}

// Lookup gives READDIRPLUS the attributes of the entry just read, if that takes no request.
// Any error leaves the entry without: who wants them looks the name up.
func (d *dirHandle) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	if n := d.node.lookups.Load(); n != d.lookups {
		d.lookups, d.nodes = n, 0
	}
	if d.nodes >= mostNodes {
		return nil, syscall.ENODATA
	}
	child := d.stream.Node(name)
	if child == nil {
		return nil, syscall.ENODATA
	}
	d.nodes++
	c := begin(ctx)
	defer c.end()
	return d.node.entry(c, child, out), 0
}

// Seekdir goes to an offset that Readdirent has given, or begins anew: rewinddir(3)
// shows the directory as it is then, and Samba keeps directories open.
func (d *dirHandle) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	if off == 0 {
		c := begin(ctx)
		defer c.end()
		s, err := d.node.fs.tree.OpenDir(c, d.node.names)
		if err != nil {
			return d.node.fail(c, "rewinddir", err)
		}
		d.stream.Close()
		d.stream, d.pos = s, 0
		return 0
	}
	d.pos = min(off, dots)
	d.stream.Seek(off - d.pos)
	return 0
}

// Releasedir closes the directory.
func (d *dirHandle) Releasedir(context.Context, uint32) { d.stream.Close() }

// Fsyncdir has nothing to do: a change of names is durable when it returns.
func (d *dirHandle) Fsyncdir(context.Context, uint32) syscall.Errno { return 0 }

func (d *dirHandle) parentIno() uint64 {
	if _, p := d.node.Parent(); p != nil {
		return p.StableAttr().Ino
	}
	return d.node.names.Ino()
}

// dirEntry is an entry as the kernel wants it; a type that the listing does
// not know becomes DT_UNKNOWN.
func dirEntry(e names.Entry) *fuse.DirEntry {
	return &fuse.DirEntry{Name: e.Name, Mode: typeBits(e.Kind), Ino: e.Ino, Off: e.Off + dots}
}
