package journal

import (
	"errors"
	"math"
	"os"
	"syscall"

	"s3mount/internal/mem"
)

// Sizes of writing past the page cache. They are multiples of every disk's sector.
const (
	directAlign = 4096
	runBlocks   = 4        // blocks that go to the disk in one request: 1 MiB
	runsAhead   = 4        // runs that wait for the disk, for each file
	directLeast = 64 << 10 // less than this at the end of a run is not worth a request past the cache
	wholeFile   = math.MaxInt64

	// writebackRun is how many bytes in the page cache are enough to send them on
	// their way to the disk.
	writebackRun = 16 << 20
)

// behind holds what was written in order and is not in the file yet. A file system
// spends most of the time of a large write on its page cache, which a spool has no
// use for: such bytes are collected in blocks, and the blocks are written past it.
type behind struct {
	next    int64 // where the last write ended
	run     run   // grows
	waiting []run // full, the first one is being written
	writing bool
	stuck   error // the disk was full; the next call tries again
}

// run is adjacent blocks; all but the last are full.
type run struct {
	off    int64
	n      int64
	blocks [][]byte
}

func (r *run) end() int64 { return r.off + r.n }

func (r *run) overlaps(off, n int64) bool { return r.n > 0 && off < r.end() && r.off-n < off }

// WriteAt writes bytes for which room was reserved. An error may be that of an
// earlier write.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	file, direct, err := f.use()
	if err != nil {
		return 0, err
	}
	defer f.fds.done()
	f.mu.Lock()
	defer f.mu.Unlock()
	b := &f.behind
	if err := f.usable(); err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if direct != nil {
			if k := f.collect(p[done:], at); k > 0 {
				done += k
				b.next = at + int64(k)
				continue
			}
		}
		rest := p[done:]
		if skip := (directAlign - at%directAlign) % directAlign; at == b.next && skip > 0 && int64(len(rest)) > skip {
			rest = rest[:skip] // up to where a run can begin
		}
		k, err := f.writeCached(file, rest, at)
		done += k
		b.next = at + int64(k)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// usable reports what made the file unusable, and lets a full disk be tried again.
// The caller holds f.mu.
func (f *File) usable() error {
	if f.failed == nil && f.behind.stuck != nil {
		f.behind.stuck = nil
		f.startWriting()
		for f.behind.writing && len(f.behind.waiting) > 0 && f.behind.stuck == nil {
			f.cond.Wait()
		}
	}
	return errors.Join(f.failed, f.behind.stuck)
}

// collect takes the beginning of p into the run, and returns how much. None: the
// bytes do not go on with what was written last, or there is no block for them.
// The caller holds f.mu, which is let go while the disk is behind.
func (f *File) collect(p []byte, at int64) int {
	b := &f.behind
	if at != b.next {
		return 0
	}
	if len(b.run.blocks) == 0 {
		if at%directAlign != 0 || len(p) < directLeast && at == 0 {
			return 0
		}
		b.run.off = at
	} else if at != b.run.end() {
		return 0
	}
	used := b.run.n % mem.BlockSize
	if used == 0 {
		block := f.block()
		if block == nil || b.next != at || len(b.run.blocks) > 0 && (b.run.end() != at || b.run.n%mem.BlockSize != 0) { // others wrote meanwhile
			f.giveBack(block)
			return 0
		}
		if len(b.run.blocks) == 0 {
			b.run.off = at // the run before was sent off to get this block
		}
		b.run.blocks = append(b.run.blocks, block)
	}
	k := copy(b.run.blocks[len(b.run.blocks)-1][used:], p)
	if b.run.n += int64(k); b.run.n == runBlocks*mem.BlockSize {
		f.send()
	}
	return k
}

// block leases a block. When there is none it waits for those of this file that
// are being written; nil: this file has none, others have them all. The caller
// holds f.mu.
func (f *File) block() []byte {
	b := &f.behind
	for {
		for len(b.waiting) >= runsAhead && b.stuck == nil && f.failed == nil {
			f.cond.Wait()
		}
		if b.stuck != nil || f.failed != nil {
			return nil
		}
		if f.spool.budget.Try(mem.Upload, mem.BlockSize) {
			return f.spool.arena.Get()
		}
		if len(b.run.blocks) > 0 {
			f.send()
		}
		if len(b.waiting) == 0 {
			return nil
		}
		f.cond.Wait()
	}
}

func (f *File) giveBack(block []byte) {
	if block != nil {
		f.spool.arena.Put(block)
		f.spool.budget.Release(mem.Upload, mem.BlockSize)
	}
}

// drop gives the blocks of a run back. The caller holds f.mu.
func (f *File) drop(r *run) {
	for _, block := range r.blocks {
		f.giveBack(block)
	}
	*r = run{}
}

// send lets the run go to the disk. The caller holds f.mu.
func (f *File) send() {
	b := &f.behind
	if len(b.run.blocks) == 0 {
		return
	}
	b.waiting = append(b.waiting, b.run)
	b.run = run{}
	f.startWriting()
}

// startWriting begins to write what waits, unless that goes on already. The
// caller holds f.mu.
func (f *File) startWriting() {
	if f.behind.writing || len(f.behind.waiting) == 0 {
		return
	}
	f.behind.writing = true
	f.refs++
	go func() {
		f.writeRuns()
		f.Unref()
	}()
}

// writeRuns writes what waits, in order, until there is no more or an error.
func (f *File) writeRuns() {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := &f.behind
	for len(b.waiting) > 0 && f.failed == nil {
		r := &b.waiting[0]
		f.mu.Unlock()
		err := f.writeRun(r)
		f.mu.Lock()
		f.unsynced = true
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			b.stuck = err
			break
		}
		if err != nil {
			f.failed = err
			break
		}
		f.uncached += r.n
		f.drop(r)
		b.waiting = b.waiting[1:]
		f.cond.Broadcast()
	}
	if f.failed != nil {
		f.dropWaiting()
	}
	b.writing = false
	f.cond.Broadcast()
}

// writeRun writes what is aligned past the cache, and the rest through it.
func (f *File) writeRun(r *run) error {
	file, direct, err := f.use()
	if err != nil {
		return err
	}
	defer f.fds.done()
	var bufs [][]byte
	left := r.n
	for _, block := range r.blocks {
		k := min(left, mem.BlockSize)
		bufs = append(bufs, block[:k])
		left -= k
	}
	aligned := r.n / directAlign * directAlign
	if aligned < directLeast {
		aligned = 0
	}
	last := &bufs[len(bufs)-1] // what is not aligned is less than a block
	cut := int64(len(*last)) - (r.n - aligned)
	rest := (*last)[cut:]
	*last = (*last)[:cut]
	if aligned > 0 {
		if err := writeVector(direct, bufs, r.off); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		_, err = file.WriteAt(rest, r.off+aligned)
		return err
	}
	return nil
}

// writeCached writes through the page cache, after what waits for the same place.
// The caller holds f.mu, which is let go meanwhile.
func (f *File) writeCached(file *os.File, p []byte, off int64) (int, error) {
	f.send()
	if err := f.await(off, int64(len(p))); err != nil {
		return 0, err
	}
	f.mu.Unlock()
	n, err := writeFull(file, p, off)
	f.mu.Lock()
	f.unsynced = true
	f.cached += int64(n)
	f.unsent += int64(n)
	if run := f.unsent; run >= writebackRun {
		f.unsent = 0
		startWriteback(file, max(off+int64(n)-run, 0), run)
	}
	return n, err
}

// settle brings what was written to [off, off+n) into the file.
func (f *File) settle(off, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.usable() // of a full disk the bytes know that still wait for it
	if f.failed != nil {
		return f.failed
	}
	if f.behind.run.overlaps(off, n) {
		f.send()
	}
	return f.await(off, n)
}

// await waits until nothing that waits overlaps [off, off+n). The caller holds f.mu.
func (f *File) await(off, n int64) error {
	b := &f.behind
	for i := 0; i < len(b.waiting); {
		if !b.waiting[i].overlaps(off, n) {
			i++
			continue
		}
		if err := errors.Join(f.failed, b.stuck); err != nil {
			return err
		}
		f.cond.Wait()
		i = 0
	}
	return f.failed
}

// errAbandoned: the journal was closed while the file was open.
var errAbandoned = errors.New("the journal is closed")

// abandon drops what is not in the file, and lets nothing more in.
func (f *File) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = errAbandoned
	}
	f.drop(&f.behind.run)
	for f.behind.writing {
		f.cond.Wait()
	}
	f.dropWaiting() // of a disk that was full
}

// dropWaiting gives the blocks back that wait for the disk. The caller holds f.mu,
// and none is being written.
func (f *File) dropWaiting() {
	for i := range f.behind.waiting {
		f.drop(&f.behind.waiting[i])
	}
	f.behind.waiting = nil
}
