package transfer

import (
	"s3mount/cache"
	"s3mount/cache/disk"
	"s3mount/internal/mem"
	"s3mount/transfer/plan"
)

// inherited lists the blocks of an edited object that are those of the base it was made of.
func inherited(ext *plan.Extents, base int64) (runs []cache.Run) {
	for _, x := range ext.List() {
		if x.Kind != plan.Base {
			continue
		}
		first, end := (x.Off+mem.BlockSize-1)/mem.BlockSize, x.End()/mem.BlockSize
		if x.End() == ext.Size() && x.End() == base { // the last block is as short in both
			end = (base + mem.BlockSize - 1) / mem.BlockSize
		}
		if end > first {
			runs = append(runs, cache.Run{First: first, N: end - first})
		}
	}
	return runs
}

// Inherit says that an edit of base has become r, and which bytes it took over: what is kept
// of them need not be fetched again. Nobody reads base any more.
func (f *Fetcher) Inherit(r, base *Remote, ext *plan.Extents) {
	if base.check.condemned() || !f.begin() {
		return
	}
	defer f.wg.Done()
	f.blocks.Carry(base.id, r.id, inherited(ext, base.Object().Size))
}

// heldBlock reads a block of r from the cache on disk.
func (f *Fetcher) heldBlock(r *Remote, p []byte, off int64) bool {
	return f.opts.Disk.Read(disk.ID(r.id), off/mem.BlockSize, p)
}
