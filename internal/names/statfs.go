package names

import "context"

// StatFS is what statfs(2) shows. A bucket has no size: the numbers are large,
// stable, and leave room for every copy.
type StatFS struct {
	BlockSize                             uint32
	Blocks, Free, Avail, Files, FilesFree uint64
	NameLen                               uint32
}

// StatFS answers statfs(2).
func (t *Tree) StatFS(ctx context.Context) (StatFS, error) {
	const blocks, files = 1 << 38, 1 << 32 // 1 PiB of 4 KiB blocks
	return StatFS{BlockSize: 4096, Blocks: blocks, Free: blocks, Avail: blocks, Files: files, FilesFree: files, NameLen: maxName}, nil
}
