package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// bridge is the node API of go-fuse with two additions that the node API has
// no place for: the table knows which requests may bring nodes to the kernel
// and when they have, and handlers can tell a write by a mapping from a write call.
type bridge struct {
	fuse.RawFileSystem
	fs *filesystem
}

// replying opens a request that may bring nodes to the kernel, and returns
// what ends it.
func (b *bridge) replying(cancel <-chan struct{}) func() {
	b.fs.nodes.begin(cancel)
	return func() { forgetAll(b.fs.nodes.settle(cancel)) }
}

func (b *bridge) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	defer b.replying(cancel)()
	return b.RawFileSystem.Lookup(cancel, h, name, out)
}

func (b *bridge) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	defer b.replying(cancel)()
	return b.RawFileSystem.Create(cancel, in, name, out)
}

func (b *bridge) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	defer b.replying(cancel)()
	return b.RawFileSystem.Mkdir(cancel, in, name, out)
}

func (b *bridge) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	defer b.replying(cancel)()
	return b.RawFileSystem.Mknod(cancel, in, name, out)
}

func (b *bridge) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	defer b.replying(cancel)()
	return b.RawFileSystem.Symlink(cancel, h, target, name, out)
}

func (b *bridge) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	defer b.replying(cancel)()
	return b.RawFileSystem.ReadDirPlus(cancel, in, out)
}

func (b *bridge) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if in.WriteFlags&fuse.WRITE_CACHE != 0 {
		b.fs.writebacks.Store(cancel, nil)
		defer b.fs.writebacks.Delete(cancel)
	}
	return b.RawFileSystem.Writev(cancel, in, data)
}
