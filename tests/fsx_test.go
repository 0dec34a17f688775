//go:build linux

package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestExerciseFile does random operations on one file and compares it with the same in
// memory after each, as the file system exerciser fsx does.
func TestExerciseFile(t *testing.T) {
	ops := 1500
	if long() {
		ops = 20_000
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	m := newMount(t, embedded(t))
	for i, c := range []struct {
		name       string
		flags, max int
		ops        int
		mapped     bool
	}{
		{"calls", 0, 256 << 10, ops, false},
		{"mappings", 0, 256 << 10, ops, true},
		{"direct", unix.O_DIRECT, 256 << 10, ops, true},
		{"large", 0, 30 << 20, ops / 20, true}, // streamed, and edited in parts
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Logf("repeat with SEED=%d", seed)
			x := &exercise{T: t, rng: rand.New(rand.NewPCG(seed, uint64(i))), path: m.path(c.name), flags: c.flags, max: c.max, mapped: c.mapped}
			x.run(c.ops)
			m.succeed("wait", m.dir)
			if got, err := m.srv.get(m.bucket, c.name); err != nil || !bytes.Equal(got, x.good) {
				t.Errorf("the object is another one after %d operations: %v", len(x.trace), err)
			}
		})
	}
}

// exercise is a file and what it has to hold.
type exercise struct {
	*testing.T
	rng    *rand.Rand
	path   string
	flags  int
	max    int // bytes
	mapped bool
	f      *os.File
	good   []byte
	trace  []string
}

func (x *exercise) run(ops int) {
	write(x.T, x.path, nil)
	x.f = open(x.T, x.path, os.O_RDWR|x.flags)
	defer func() { x.f.Close() }()
	all := []struct {
		weight int
		do     func()
	}{
		{10, x.read}, {14, x.write}, {6, x.truncate}, {4, x.allocate}, {5, x.punch}, {4, x.copyRange}, {3, x.otherReads}, {2, x.reopen},
		{10, x.mapRead}, {10, x.mapWrite},
	}
	if !x.mapped {
		all = all[:len(all)-2]
	}
	total := 0
	for _, op := range all {
		total += op.weight
	}
	for i := range ops {
		n := x.rng.IntN(total)
		for _, op := range all {
			if n -= op.weight; n < 0 {
				op.do()
				break
			}
		}
		if i%100 == 99 {
			x.note("compare", 0, len(x.good))
			x.compare(0, read(x.T, x.path))
		}
		if info, err := x.f.Stat(); err != nil || info.Size() != int64(len(x.good)) {
			x.Errorf("the size is %d, want %d: %v", info.Size(), len(x.good), err)
		}
		if x.Failed() {
			x.Fatalf("the last of %d operations:\n%s", len(x.trace), strings.Join(x.trace[max(0, len(x.trace)-traceLines()):], "\n"))
		}
	}
	x.ok(x.f.Close())
}

func (x *exercise) note(op string, off, n int) {
	x.trace = append(x.trace, fmt.Sprintf("%s of %d bytes at %d of %d", op, n, off, len(x.good)))
}

func (x *exercise) ok(err error) {
	if err != nil {
		x.Errorf("operation %d: %v", len(x.trace), err)
	}
}

// compare wants the bytes at an offset.
func (x *exercise) compare(off int, got []byte) {
	want := x.good[off:min(off+len(got), len(x.good))]
	if bytes.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			x.Errorf("byte %d is %#x, want %#x", off+i, got[i], want[i])
			return
		}
	}
	x.Errorf("%d bytes, want %d", len(got), len(want))
}

// span is a range that begins inside the file, or that may reach behind it.
func (x *exercise) span(inside bool) (off, n int) {
	limit := x.max
	if inside {
		limit = len(x.good)
	}
	if limit == 0 {
		return 0, 0
	}
	off = x.rng.IntN(limit)
	if x.rng.IntN(4) == 0 {
		off &^= 4095
	}
	return off, min(1+x.rng.IntN(x.max/4), limit-off)
}

// grow makes the expected file reach to a size.
func (x *exercise) grow(size int) {
	if more := size - len(x.good); more > 0 {
		x.good = append(x.good, make([]byte, more)...)
	}
}

// fill is bytes that tell by which operation they were written.
func (x *exercise) fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(len(x.trace) + i/977)
	}
	return b
}

func (x *exercise) read() {
	off, n := x.span(true)
	x.note("read", off, n)
	buf := make([]byte, n)
	_, err := x.f.ReadAt(buf, int64(off))
	x.ok(err)
	x.compare(off, buf)
}

func (x *exercise) write() {
	off, n := x.span(false)
	x.note("write", off, n)
	data := x.fill(n)
	_, err := x.f.WriteAt(data, int64(off))
	x.ok(err)
	x.grow(off + n)
	copy(x.good[off:], data)
}

func (x *exercise) truncate() {
	size := x.rng.IntN(x.max)
	x.note("truncate", size, 0)
	x.ok(x.f.Truncate(int64(size)))
	x.grow(size)
	x.good = x.good[:size]
}

func (x *exercise) allocate() {
	off, n := x.span(false)
	if n == 0 {
		return
	}
	mode := uint32(x.rng.IntN(2)) // 1: KEEP_SIZE
	x.note(fmt.Sprint("fallocate ", mode), off, n)
	x.ok(unix.Fallocate(int(x.f.Fd()), mode, int64(off), int64(n)))
	if mode == 0 {
		x.grow(off + n)
	}
}

func (x *exercise) punch() {
	off, n := x.span(true)
	if n == 0 {
		return
	}
	x.note("punch", off, n)
	x.ok(unix.Fallocate(int(x.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)))
	clear(x.good[off : off+n])
}

func (x *exercise) copyRange() {
	from, n := x.span(true)
	to := x.rng.IntN(x.max)
	n = min(n, x.max-to)
	if n = min(n, max(to-from, from-to)); n <= 0 {
		return
	}
	x.note(fmt.Sprint("copy from ", from), to, n)
	x.grow(min(to, len(x.good)))
	src := slices.Clone(x.good[from : from+n])
	for done := 0; done < n; {
		in, out := int64(from+done), int64(to+done)
		k, err := unix.CopyFileRange(int(x.f.Fd()), &in, int(x.f.Fd()), &out, n-done, 0)
		if x.ok(err); err != nil || k == 0 {
			x.Errorf("%d of %d bytes copied", done, n)
			return
		}
		done += k
	}
	x.grow(to + n)
	copy(x.good[to:], src)
}

// otherReads reads through a descriptor of its own, which may have other pages.
func (x *exercise) otherReads() {
	off, n := x.span(true)
	x.note("read by another", off, n)
	f := open(x.T, x.path, os.O_RDONLY|[]int{0, unix.O_DIRECT}[x.rng.IntN(2)])
	defer f.Close()
	buf := make([]byte, n)
	_, err := f.ReadAt(buf, int64(off))
	x.ok(err)
	x.compare(off, buf)
}

// reopen closes the file, and at times waits until the bucket has it.
func (x *exercise) reopen() {
	x.note("reopen", 0, 0)
	if x.rng.IntN(4) == 0 {
		x.ok(x.f.Sync())
	}
	x.ok(x.f.Close())
	x.f = open(x.T, x.path, os.O_RDWR|x.flags)
}

// mapping maps a range of the file. Behind its end the last page reads as zeros.
func (x *exercise) mapping(off, n int, do func(b []byte)) {
	page := off &^ 4095
	b, err := unix.Mmap(int(x.f.Fd()), int64(page), (off-page+n+4095)&^4095, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if x.ok(err); err != nil {
		return
	}
	do(b[off-page : off-page+n])
	if end := len(x.good) - page; end < len(b) && slices.Max(b[end:]) != 0 {
		x.Error("there are bytes behind the end")
	}
	if x.rng.IntN(2) == 0 {
		x.ok(unix.Msync(b, unix.MS_ASYNC))
	}
	x.ok(unix.Munmap(b))
}

func (x *exercise) mapRead() {
	off, n := x.span(true)
	if n == 0 {
		return
	}
	x.note("map read", off, n)
	x.mapping(off, n, func(b []byte) { x.compare(off, b) })
}

func (x *exercise) mapWrite() {
	off, n := x.span(false)
	if n == 0 {
		return
	}
	x.note("map write", off, n)
	if off+n > len(x.good) {
		x.ok(x.f.Truncate(int64(off + n)))
		x.grow(off + n)
	}
	data := x.fill(n)
	copy(x.good[off:], data)
	x.mapping(off, n, func(b []byte) { copy(b, data) })
}
