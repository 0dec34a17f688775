// Package fs shows a bucket tree to applications through FUSE.
//
// It translates kernel requests into calls of internal/names (what exists and
// what it is called) and transfer (the bytes of open files), and their errors
// into errno values. Requests arrive here and nowhere else.
//
// It never talks to the bucket, keeps no bytes of files and never holds a
// lock while it calls another package or the kernel.
//
// Call order of a read: handle.Read -> transfer.File.Read -> readResult, which
// hands the cached blocks to the kernel without a copy and releases them when
// the reply is written. Call order of a write: handle.Write ->
// transfer.File.WriteAt -> pages.wrote, which drops what other descriptors
// have cached of the written range.
package fs

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"s3mount/internal/names"
)

// filesystem is what all nodes of one mount share.
type filesystem struct {
	tree     *names.Tree
	log      *slog.Logger
	nodes    table
	failures failures

	// writebacks holds the cancel channels of write requests that come from
	// the page cache (a mapping), not from a write call.
	writebacks sync.Map

	mu struct {
		sync.Mutex
		handles map[*handle]struct{} // every open file
	}
}

func newFilesystem(tree *names.Tree, log *slog.Logger) *filesystem {
	f := &filesystem{tree: tree, log: log}
	f.nodes.init()
	f.failures.kinds = map[string]*failureKind{}
	f.mu.handles = make(map[*handle]struct{})
	return f
}

// root returns the node of the mountpoint.
func (f *filesystem) root() *node {
	n := &node{fs: f, names: f.tree.Root()}
	f.nodes.add(n)
	return n
}

func (f *filesystem) track(h *handle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.handles[h] = struct{}{}
}

func (f *filesystem) untrack(h *handle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mu.handles, h)
}

// closeAll closes the files that the kernel will never close any more, since
// the connection was aborted. The application cannot be told about an error,
// the log can.
func (f *filesystem) closeAll() {
	f.mu.Lock()
	left := make([]*handle, 0, len(f.mu.handles))
	for h := range f.mu.handles {
		left = append(left, h)
	}
	f.mu.Unlock()
	for _, h := range left {
		if errno := h.Flush(context.Background()); errno != 0 {
			f.log.Error("file of an aborted mount is not complete", "ino", h.node.names.Ino(), "errno", errno.Error())
		}
		h.Release(context.Background())
	}
}

// node is one file, directory or link known to the kernel.
type node struct {
	gofuse.Inode
	fs    *filesystem
	names *names.Node
	pages pages

	lookups   atomic.Uint64 // of names in the directory
	forgotten uint64        // when the kernel forgot it, 0 while it is known; guarded by table.mu
}

var (
	_ gofuse.InodeEmbedder   = (*node)(nil)
	_ gofuse.NodeOnForgetter = (*node)(nil)
	_ gofuse.NodeStatfser    = (*node)(nil)
)

// OnForget ends the life of the node when the kernel has dropped it.
func (n *node) OnForget() { forgetAll(n.fs.nodes.forget(n)) }

func forgetAll(gone []*names.Node) {
	for _, nn := range gone {
		nn.Forget()
	}
}

// Statfs answers df and statvfs.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	c := begin(ctx)
	defer c.end()
	s, err := n.fs.tree.StatFS(c)
	if err != nil {
		return n.fail(c, "statfs", err)
	}
	out.Bsize, out.Frsize = s.BlockSize, s.BlockSize
	out.Blocks, out.Bfree, out.Bavail = s.Blocks, s.Free, s.Avail
	out.Files, out.Ffree = s.Files, s.FilesFree
	out.NameLen = s.NameLen
	return 0
}
