package fs

import (
	"context"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"s3mount/transfer"
)

var (
	_ gofuse.NodeOpener         = (*node)(nil)
	_ gofuse.NodeCreater        = (*node)(nil)
	_ gofuse.NodeCopyFileRanger = (*node)(nil)
	_ gofuse.NodeIoctler        = (*node)(nil)
)

// Open opens a file.
func (n *node) Open(ctx context.Context, flags uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	trunc := flags&syscall.O_TRUNC != 0
	write := trunc || flags&syscall.O_ACCMODE != syscall.O_RDONLY
	file, err := n.names.Open(c, write, trunc)
	if err != nil {
		return nil, 0, n.fail(c, "open", err)
	}
	if trunc {
		n.dropSetID(c, file)
	}
	h, reply := n.newHandle(file, write, flags)
	return h, reply, 0
}

// dropSetID takes setuid and setgid from a file that somebody who is not root has
// changed, in the cases that the kernel leaves to us: direct writes, and O_TRUNC. A write
// by a mapping is nobody's.
func (n *node) dropSetID(c *call, file *transfer.File) {
	if _, writeback := n.fs.writebacks.Load(c.cancelled()); writeback {
		return
	}
	if uid, _ := owner(c.Context); uid == 0 {
		return
	}
	if err := file.DropSetID(); err != nil {
		n.fail(c, "drop setuid", err)
	}
}

// Create makes a file and opens it. Another mount may have made it since the
// kernel looked: then it is opened, and truncated if that was asked for.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*gofuse.Inode, gofuse.FileHandle, uint32, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	uid, gid := owner(ctx)
	child, file, err := n.fs.tree.Create(c, n.names, name, mode&07777, uid, gid, flags&syscall.O_EXCL != 0)
	if err != nil {
		return nil, nil, 0, n.fail(c, "create", err, "name", name)
	}
	if flags&syscall.O_TRUNC != 0 && file.Size() > 0 {
		if err := file.Clear(c); err != nil {
			file.CloseHandle(true)
			return nil, nil, 0, n.fail(c, "create", err, "name", name)
		}
		n.dropSetID(c, file)
	}
	inode := n.entry(c, child, out)
	h, reply := inode.Operations().(*node).newHandle(file, true, flags)
	return inode, h, reply, 0
}

// syncFlags ask for every write to be followed by an fsync. The kernel does that for
// buffered writes only.
const syncFlags = syscall.O_SYNC | syscall.O_DSYNC

// newHandle makes a handle and the flags of the reply that carries it.
func (n *node) newHandle(file *transfer.File, write bool, flags uint32) (*handle, uint32) {
	writeOnly := flags&syscall.O_ACCMODE == syscall.O_WRONLY
	h := &handle{node: n, file: file, write: write, opened: time.Now()}
	h.direct = writeOnly && flags&syncFlags == 0 || flags&directFlag != 0
	h.paged = !h.direct || !writeOnly
	n.fs.track(h)
	var reply uint32
	if h.direct {
		reply |= fuse.FOPEN_DIRECT_IO
	}
	if n.pages.open(h, n.forgetPages) {
		reply |= fuse.FOPEN_KEEP_CACHE
	}
	if !write {
		reply |= fuse.FOPEN_NOFLUSH
	}
	return h, reply
}

// CopyFileRange lets the server copy what is copied to its own place in an empty
// file. To EOPNOTSUPP the kernel copies by reading and writing, this time; after
// ENOSYS it would never ask again.
func (n *node) CopyFileRange(ctx context.Context, in gofuse.FileHandle, inOff uint64, _ *gofuse.Inode, out gofuse.FileHandle, outOff, size, _ uint64) (uint32, syscall.Errno) {
	src, ok1 := in.(*handle)
	dst, ok2 := out.(*handle)
	if !ok1 || !ok2 || inOff != outOff {
		return 0, syscall.EOPNOTSUPP
	}
	c := begin(ctx)
	defer c.end()
	copied, err := dst.file.CopyRange(c, src.file, int64(inOff), int64(min(size, maxCopy)))
	if err != nil {
		return 0, n.fail(c, "copy_file_range", err, "off", inOff, "len", size)
	}
	if copied == 0 {
		return 0, syscall.EOPNOTSUPP
	}
	return uint32(copied), 0
}

// maxCopy is the most that one answer can say, in whole pages.
const maxCopy = 1<<32 - 4096

// Ioctl knows no command. ENOTTY is what cp and chattr expect then.
func (n *node) Ioctl(context.Context, gofuse.FileHandle, uint32, uint64, []byte, []byte) (int32, syscall.Errno) {
	return 0, syscall.ENOTTY
}
