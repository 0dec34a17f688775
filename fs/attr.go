package fs

import (
	"context"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"s3mount/internal/names"
)

// st_blksize is the buffer that cp and others choose, where 4 KiB would be the default. Who
// creates a file sees that of an empty one: each request costs the same, so those are
// to be large. Of a large file more might be read than is needed. Of a directory that is about
// what one request reads.
const (
	smallFileBlock = 1 << 20 // also the size up to which a file is small
	largeFileBlock = 128 << 10
)

var (
	_ gofuse.NodeGetattrer  = (*node)(nil)
	_ gofuse.NodeSetattrer  = (*node)(nil)
	_ gofuse.NodeReadlinker = (*node)(nil)
)

// Getattr answers stat. The kernel never names a file handle here.
func (n *node) Getattr(ctx context.Context, _ gofuse.FileHandle, out *fuse.AttrOut) syscall.Errno {
	c := begin(ctx)
	defer c.end()
	a, err := n.names.Attr(c)
	if err != nil {
		return n.fail(c, "getattr", err)
	}
	n.fillAttr(&out.Attr, a)
	out.SetTimeout(a.TTL)
	return 0
}

// Setattr answers chmod, chown, utimens, truncate and their f-variants.
func (n *node) Setattr(ctx context.Context, _ gofuse.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	c := begin(ctx)
	defer c.end()
	a, err := n.names.SetAttr(c, changeOf(in))
	if err != nil {
		return n.fail(c, "setattr", err)
	}
	n.fillAttr(&out.Attr, a)
	out.SetTimeout(a.TTL)
	return 0
}

func changeOf(in *fuse.SetAttrIn) names.Change {
	var ch names.Change
	if v, ok := in.GetSize(); ok {
		size := int64(v)
		ch.Size = &size
	}
	if v, ok := in.GetMode(); ok {
		ch.Mode = &v
	}
	if v, ok := in.GetUID(); ok {
		ch.UID = &v
	}
	if v, ok := in.GetGID(); ok {
		ch.GID = &v
	}
	if v, ok := in.GetATime(); ok {
		ch.Atime = &v
	}
	if v, ok := in.GetMTime(); ok {
		ch.Mtime = &v
	}
	return ch
}

// Readlink returns the target of a symbolic link.
func (n *node) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	target, err := n.names.Readlink(c)
	if err != nil {
		return nil, n.fail(c, "readlink", err)
	}
	return []byte(target), 0
}

func (n *node) fillAttr(out *fuse.Attr, a names.Attr) {
	out.Ino = n.names.Ino()
	out.Mode = typeBits(n.names.Kind()) | a.Mode&07777
	out.Size = uint64(a.Size)
	out.Blocks = (out.Size + 511) / 512
	out.Blksize = largeFileBlock
	if a.Size <= smallFileBlock && n.names.Kind() != names.KindDir {
		out.Blksize = smallFileBlock
	}
	out.Nlink = a.Nlink
	out.Uid, out.Gid = a.UID, a.GID
	out.SetTimes(present(&a.Atime), present(&a.Mtime), present(&a.Ctime))
}

// present keeps a time that was never set from becoming the year 1.
func present(t *time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return t
}

// entry fills the reply that brings a node to the kernel. Attributes that are
// not exact are valid for no time at all, so that the kernel asks for them
// when somebody wants them, and only then.
func (n *node) entry(c *call, child *names.Node, out *fuse.EntryOut) *gofuse.Inode {
	inode := n.fs.nodes.adopt(c, n, child)
	a := child.Known()
	inode.Operations().(*node).fillAttr(&out.Attr, a)
	out.SetEntryTimeout(a.NameTTL)
	out.SetAttrTimeout(a.TTL)
	return inode
}
