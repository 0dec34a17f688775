package fs

import (
	"context"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

var (
	_ gofuse.NodeLookuper  = (*node)(nil)
	_ gofuse.NodeMkdirer   = (*node)(nil)
	_ gofuse.NodeMknoder   = (*node)(nil)
	_ gofuse.NodeSymlinker = (*node)(nil)
	_ gofuse.NodeLinker    = (*node)(nil)
	_ gofuse.NodeTmpfiler  = (*node)(nil)
	_ gofuse.NodeUnlinker  = (*node)(nil)
	_ gofuse.NodeRmdirer   = (*node)(nil)
	_ gofuse.NodeRenamer   = (*node)(nil)
)

// renameNoReplace is RENAME_NOREPLACE of renameat2(2).
const renameNoReplace = 1

// Lookup finds a name in a directory.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	n.lookups.Add(1)
	c := begin(ctx)
	defer c.end()
	child, err := n.fs.tree.Lookup(c, n.names, name)
	if err != nil {
		return nil, n.fail(c, "lookup", err, "name", name)
	}
	return n.entry(c, child, out), 0
}

// Mkdir makes a directory.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	uid, gid := owner(ctx)
	child, err := n.fs.tree.Mkdir(c, n.names, name, mode&07777, uid, gid)
	if err != nil {
		return nil, n.fail(c, "mkdir", err, "name", name)
	}
	return n.entry(c, child, out), 0
}

// Symlink makes a symbolic link.
func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	c := begin(ctx)
	defer c.end()
	uid, gid := owner(ctx)
	child, err := n.fs.tree.Symlink(c, n.names, name, target, uid, gid)
	if err != nil {
		return nil, n.fail(c, "symlink", err, "name", name)
	}
	return n.entry(c, child, out), 0
}

// Mknod makes an empty regular file. A bucket has no devices, pipes or sockets.
func (n *node) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	if t := mode & syscall.S_IFMT; t != 0 && t != syscall.S_IFREG {
		return nil, syscall.EPERM
	}
	c := begin(ctx)
	defer c.end()
	uid, gid := owner(ctx)
	child, file, err := n.fs.tree.Create(c, n.names, name, mode&07777, uid, gid, true)
	if err != nil {
		return nil, n.fail(c, "mknod", err, "name", name)
	}
	err = file.Flush(context.WithoutCancel(ctx))
	file.CloseHandle(true)
	if err != nil {
		return nil, n.fail(c, "mknod", err, "name", name)
	}
	return n.entry(c, child, out), 0
}

// Link refuses: an object has one key.
func (n *node) Link(context.Context, gofuse.InodeEmbedder, string, *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Tmpfile refuses O_TMPFILE, which needs hard links; ENOSYS is remembered by
// the kernel, and programs fall back to a named file.
func (n *node) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*gofuse.Inode, gofuse.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.ENOSYS
}

// Unlink removes a file or a link.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	c := begin(ctx)
	defer c.end()
	if err := n.fs.tree.Unlink(c, n.names, name); err != nil {
		return n.fail(c, "unlink", err, "name", name)
	}
	return 0
}

// Rmdir removes an empty directory.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	c := begin(ctx)
	defer c.end()
	if err := n.fs.tree.Rmdir(c, n.names, name); err != nil {
		return n.fail(c, "rmdir", err, "name", name)
	}
	return 0
}

// Rename moves a name; what had the new name is replaced, unless forbidden.
func (n *node) Rename(ctx context.Context, name string, newParent gofuse.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if flags&^renameNoReplace != 0 { // RENAME_EXCHANGE among them: two keys cannot be swapped at once
		return syscall.EINVAL
	}
	to, ok := newParent.(*node)
	if !ok {
		return syscall.EXDEV
	}
	c := begin(ctx)
	defer c.end()
	if err := n.fs.tree.Rename(c, n.names, name, to.names, newName, flags&renameNoReplace != 0); err != nil {
		return n.fail(c, "rename", err, "name", name, "to", newName)
	}
	return 0
}

// owner is who called.
func owner(ctx context.Context) (uid, gid uint32) {
	if caller, ok := fuse.FromContext(ctx); ok {
		return caller.Uid, caller.Gid
	}
	return 0, 0
}
