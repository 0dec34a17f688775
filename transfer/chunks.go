package transfer

import (
	"s3mount/cache"
)

// Chunks are the bytes of one read. They may lie in several cache blocks, which stay
// where they are until Release. Not safe for concurrent use.
type Chunks struct {
	slices   [][]byte
	n        int
	refs     []*cache.Ref
	release  func()
	released bool
}

// ChunkOf makes Chunks of one slice; release is called once, by Release. It may be nil.
func ChunkOf(p []byte, release func()) *Chunks {
	c := &Chunks{n: len(p), release: release}
	if len(p) > 0 {
		c.slices = [][]byte{p}
	}
	return c
}

// Len is the number of bytes.
func (c *Chunks) Len() int { return c.n }

// Slices are the bytes, in order. They are not to be changed, nor used after Release.
func (c *Chunks) Slices() [][]byte { return c.slices }

// CopyTo copies as many bytes as fit into p.
func (c *Chunks) CopyTo(p []byte) int {
	n := 0
	for _, s := range c.slices {
		n += copy(p[n:], s)
	}
	return n
}

// Release gives the memory back. It panics the second time.
func (c *Chunks) Release() {
	if c.released {
		panic("transfer: Chunks released twice")
	}
	c.released = true
	for _, ref := range c.refs {
		ref.Release()
	}
	if c.release != nil {
		c.release()
	}
	c.slices, c.refs, c.release = nil, nil, nil
}
