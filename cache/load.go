package cache

import (
	"s3mount/cache/disk"
	"s3mount/internal/mem"
)

// Loads tells whether the next bytes of the flight lie on disk.
func (f *Flight) Loads() bool {
	f.cache.disk.Await(f.ctx)
	return f.onDisk(1) > 0
}

// Load fills the flight from disk, as far as the next blocks are there, and returns how
// many bytes came.
func (f *Flight) Load() (n int64) {
	tier := f.cache.disk
	if tier == nil || f.ctx.Err() != nil {
		return 0
	}
	run := f.onDisk(int64(len(f.blocks) - f.next))
	if run > 1 {
		tier.Prepare(disk.ID(f.id), f.first+int64(f.next), run)
	}
	f.loaded = true
	defer func() { f.loaded = false }()
	for ; run > 0 && f.ctx.Err() == nil; run-- {
		blk := f.blocks[f.next]
		if blk.filled > 0 || !tier.Read(disk.ID(f.id), blk.id.index, f.Buffer()) {
			break
		}
		n += int64(blk.size)
		f.Advance(blk.size)
	}
	return n
}

// Missing is the range to bring from elsewhere before the next block that lies on disk:
// n bytes from off on.
func (f *Flight) Missing() (off, n int64) {
	off, n = f.Range()
	left := int64(len(f.blocks) - f.next)
	if left < 2 {
		return off, n
	}
	next := f.first + int64(f.next)
	run, there := f.cache.disk.Run(disk.ID(f.id), next+1, left-1)
	if there {
		run = 0
	}
	return off, min(n, (next+1+run)*mem.BlockSize-off)
}

// onDisk counts the next blocks that lie on disk, up to n.
func (f *Flight) onDisk(n int64) int64 {
	if n = min(n, int64(len(f.blocks)-f.next)); n == 0 {
		return 0
	}
	run, there := f.cache.disk.Run(disk.ID(f.id), f.first+int64(f.next), n)
	if !there {
		return 0
	}
	return run
}
