// Package plan decides and never acts: which bytes make which part of an upload,
// which ranges of an edited object are copied by the server, and how far a reader
// looks ahead. Its functions are pure: they take and return numbers, and never
// touch files, the network, clocks or locks.
//
// Offsets and lengths are in bytes.
package plan

import (
	"fmt"
	"slices"
	"sort"
)

// Kind says where the bytes of an extent are.
type Kind uint8

const (
	// Hole is zeros that nobody wrote.
	Hole Kind = iota
	// Base is bytes of the version that is being edited, at the same offset.
	Base
	// Data is bytes that were written and lie in the spool.
	Data
	// Sent is bytes that were written, and that an unfinished upload has and nobody
	// else.
	Sent
)

func (k Kind) String() string {
	return [...]string{"hole", "base", "data", "sent"}[k]
}

// Extent is a run of bytes of one kind.
type Extent struct {
	Off  int64 `json:"off"`
	Len  int64 `json:"len"`
	Kind Kind  `json:"kind"`
}

// End is the offset behind the extent.
func (e Extent) End() int64 { return e.Off + e.Len }

// Extents says for every byte of a file where it is. The list covers [0, Size)
// exactly, in order, with no two neighbours of one kind. The zero value is an
// empty file.
type Extents struct {
	list  []Extent
	bytes [Sent + 1]int64 // by kind
}

// NewExtents is a file of size bytes that are all of one kind.
func NewExtents(size int64, kind Kind) Extents {
	var e Extents
	e.Set(0, size, kind)
	return e
}

// FromList takes a list as List returned it, and refuses one that does not cover
// a file exactly.
func FromList(list []Extent) (Extents, error) {
	var e Extents
	for _, x := range list {
		if x.Off != e.Size() || x.Len <= 0 || x.Kind > Data {
			return Extents{}, fmt.Errorf("extents: %v at %d does not continue %d", x, x.Off, e.Size())
		}
		e.Set(x.Off, x.Len, x.Kind)
	}
	return e, nil
}

// Size is the size of the file.
func (e *Extents) Size() int64 {
	if len(e.list) == 0 {
		return 0
	}
	return e.list[len(e.list)-1].End()
}

// List is a copy of the extents in order.
func (e *Extents) List() []Extent { return append([]Extent(nil), e.list...) }

// Clone is an independent copy.
func (e *Extents) Clone() Extents { return Extents{list: e.List(), bytes: e.bytes} }

// Set makes [off, off+n) of the given kind. What lies between the old end and off
// becomes a hole.
func (e *Extents) Set(off, n int64, kind Kind) {
	if n <= 0 {
		return
	}
	if size := e.Size(); off > size {
		e.append(Extent{size, off - size, Hole})
	}
	if off == e.Size() {
		e.append(Extent{off, n, kind})
		return
	}
	end := off + n
	i, j := e.find(off), e.find(end)
	if j < len(e.list) && e.list[j].Off < end {
		j++ // the extent that holds end is replaced in part
	}
	var room [5]Extent // what is left of the two that are cut, their neighbours, and the new one
	mid := room[:0]
	if i > 0 {
		mid = append(mid, e.list[i-1])
	}
	if first := e.list[i]; first.Off < off {
		mid = join(mid, Extent{first.Off, off - first.Off, first.Kind})
	}
	mid = join(mid, Extent{off, n, kind})
	if last := e.list[j-1]; last.End() > end {
		mid = join(mid, Extent{end, last.End() - end, last.Kind})
	}
	if j < len(e.list) {
		mid = join(mid, e.list[j])
	}
	e.splice(max(i-1, 0), min(j+1, len(e.list)), mid)
}

// join appends x, or makes the last extent longer that is of the same kind.
func join(list []Extent, x Extent) []Extent {
	if k := len(list) - 1; k >= 0 && list[k].Kind == x.Kind {
		list[k].Len += x.Len
		return list
	}
	return append(list, x)
}

// splice puts mid in the place of list[i:j]. A file that is written here and there has very
// many extents, so nothing else of the list is touched.
func (e *Extents) splice(i, j int, mid []Extent) {
	e.count(e.list[i:j], -1)
	e.count(mid, 1)
	e.list = slices.Replace(e.list, i, j, mid...)
}

func (e *Extents) count(list []Extent, sign int64) {
	for _, x := range list {
		e.bytes[x.Kind] += sign * x.Len
	}
}

func (e *Extents) append(x Extent) {
	e.bytes[x.Kind] += x.Len
	if k := len(e.list) - 1; k >= 0 && e.list[k].Kind == x.Kind {
		e.list[k].Len += x.Len
		return
	}
	e.list = append(e.list, x)
}

// find is the index of the extent that holds off, or len(list).
func (e *Extents) find(off int64) int {
	return sort.Search(len(e.list), func(i int) bool { return e.list[i].End() > off })
}

// Truncate cuts the file, or extends it with a hole.
func (e *Extents) Truncate(size int64) {
	if old := e.Size(); size > old {
		e.append(Extent{old, size - old, Hole})
		return
	}
	i := e.find(size)
	e.count(e.list[i:], -1)
	if i < len(e.list) && e.list[i].Off < size {
		e.list[i].Len = size - e.list[i].Off
		i++
		e.count(e.list[i-1:i], 1)
	}
	e.list = e.list[:i]
}

// Range is the extents of [off, off+n), cut to it and to the size of the file.
func (e *Extents) Range(off, n int64) []Extent {
	var out []Extent
	end := min(off+n, e.Size())
	for i := e.find(off); i < len(e.list) && e.list[i].Off < end; i++ {
		x := e.list[i]
		from, to := max(x.Off, off), min(x.End(), end)
		out = append(out, Extent{from, to - from, x.Kind})
	}
	return out
}

// Has tells whether any byte of [off, off+n) is of the kind.
func (e *Extents) Has(off, n int64, kind Kind) bool {
	if all := e.bytes[kind]; all == 0 || off <= 0 && off+n >= e.Size() {
		return all > 0
	}
	for i := e.find(off); i < len(e.list) && e.list[i].Off < off+n; i++ {
		if e.list[i].Kind == kind {
			return true
		}
	}
	return false
}

// Bytes is how many bytes are of the kind.
func (e *Extents) Bytes(kind Kind) int64 { return e.bytes[kind] }

// Next finds the first offset at or behind off that is in a hole, or that is not
// in one. The end of the file counts as a hole. ok is false when off is not inside
// the file, or when no data follow.
func (e *Extents) Next(off int64, hole bool) (at int64, ok bool) {
	if off < 0 || off >= e.Size() {
		return 0, false
	}
	for i := e.find(off); i < len(e.list); i++ {
		if (e.list[i].Kind == Hole) == hole {
			return max(off, e.list[i].Off), true
		}
	}
	return e.Size(), hole
}
