package fs

import (
	"context"
	"sync"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"

	"s3mount/internal/names"
)

// table holds the one node of each names.Node that the kernel knows.
//
// A handler may have found a names.Node, and not yet replied, at the moment at
// which the kernel forgets it. Forgetting it then would leave the kernel with
// a node that the tree does not know. So a forgotten node waits in limbo until
// every request that had begun by then has been answered; a reply that carries
// it brings it back. Requests are told apart by their cancel channel, the one
// value that both the handler and bridge see.
type table struct {
	mu     sync.Mutex
	live   map[*names.Node]*node
	active map[<-chan struct{}]*reply
	limbo  []*node
	seq    uint64 // of replies, and of forgetting
	gen    uint64 // of nodes: makes each distinct for go-fuse
}

// reply is a request under way that may bring nodes to the kernel.
type reply struct {
	seq   uint64
	nodes []*node
}

func (t *table) init() {
	t.live = make(map[*names.Node]*node)
	t.active = make(map[<-chan struct{}]*reply)
}

// add enters the root.
func (t *table) add(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live[n.names] = n
}

// begin opens a request. It ends with settle.
func (t *table) begin(cancel <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	t.active[cancel] = &reply{seq: t.seq}
}

// adopt returns the inode of nn for the reply of the call, with a new node if
// the kernel does not know nn.
func (t *table) adopt(c *call, parent *node, nn *names.Node) *gofuse.Inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.live[nn]
	if n == nil {
		n = &node{fs: parent.fs, names: nn}
		t.live[nn] = n
		t.gen++
	}
	if r := t.active[c.cancelled()]; r != nil {
		r.nodes = append(r.nodes, n)
	}
	return parent.NewInode(context.Background(), n, gofuse.StableAttr{
		Mode: typeBits(nn.Kind()), Ino: nn.Ino(), Gen: t.gen,
	})
}

// forget puts a node into limbo.
func (t *table) forget(n *node) []*names.Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.IsRoot() || n.forgotten != 0 || t.live[n.names] != n {
		return nil
	}
	t.seq++
	n.forgotten = t.seq
	t.limbo = append(t.limbo, n)
	return t.sweep()
}

// settle ends a request, whose reply is registered with go-fuse by now, and
// returns what nobody knows any more.
func (t *table) settle(cancel <-chan struct{}) []*names.Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.active[cancel].nodes {
		n.forgotten = 0
	}
	delete(t.active, cancel)
	return t.sweep()
}

// sweep takes those out of limbo that came back or that no request can bring
// back, and returns the latter. The caller holds mu.
func (t *table) sweep() []*names.Node {
	if len(t.limbo) == 0 {
		return nil
	}
	oldest := t.seq + 1
	for _, r := range t.active {
		oldest = min(oldest, r.seq)
	}
	var gone []*names.Node
	keep := t.limbo[:0]
	for _, n := range t.limbo {
		switch {
		case n.forgotten == 0:
		case n.forgotten < oldest:
			n.forgotten = 0
			delete(t.live, n.names)
			gone = append(gone, n.names)
		default:
			keep = append(keep, n)
		}
	}
	clear(t.limbo[len(keep):])
	t.limbo = keep
	return gone
}

// typeBits is the file type of a kind as st_mode has it.
func typeBits(k names.Kind) uint32 {
	switch k {
	case names.KindDir:
		return syscall.S_IFDIR
	case names.KindLink:
		return syscall.S_IFLNK
	case names.KindFile:
		return syscall.S_IFREG
	}
	return 0
}
