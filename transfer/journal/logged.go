package journal

// appendTo appends the first n bytes of the file to b, and brings them into the page cache.
// It reports false where they are not all in memory; a sync makes them durable then.
//
// They most likely stay there: the file is read by its upload and removed before the kernel
// writes it to the disk. So a small file costs the disk its place in the log, and no more.
func (f *File) appendTo(b []byte, n int64) ([]byte, bool) {
	file, _, err := f.use()
	if err != nil {
		return b, false
	}
	defer f.fds.done()
	f.mu.Lock()
	defer f.mu.Unlock() // the page cache takes the bytes at once
	run := &f.behind.run
	if f.failed != nil || f.behind.stuck != nil || len(f.behind.waiting) > 0 || f.uncached > 0 || run.n > 0 && run.end() < n {
		return b, false
	}
	start, head := len(b), n
	if run.n > 0 {
		head = min(run.off, n)
	}
	b = append(b, make([]byte, head)...)
	left := run.n
	for _, block := range run.blocks {
		k := min(left, int64(len(block)))
		b = append(b, block[:k]...)
		left -= k
	}
	if _, err := readFull(file, b[start:int64(start)+head], 0); err != nil {
		return b[:start], false
	}
	if run.n > 0 {
		if _, err := writeFull(file, b[int64(start)+head:], run.off); err != nil {
			return b[:start], false
		}
		f.cached += run.n
		f.unsynced = true
		f.drop(run)
	}
	return b[:int64(start)+n], true
}

// isRemoved tells whether the file's name was taken away.
func (f *File) isRemoved() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.removed
}
