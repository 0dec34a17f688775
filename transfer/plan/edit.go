package plan

// Piece is one part of an edited object: a range that the server copies from the
// base, or one that is sent.
type Piece struct {
	Off  int64 `json:"off"`
	Len  int64 `json:"len"`
	Copy bool  `json:"copy,omitempty"`
}

// limits say what parts may be. Tests use smaller ones than S3's.
type limits struct {
	min, max int64 // size of a part; the last may be smaller
	parts    int   // number of parts
	send     int64 // size in which long runs are sent; at least 2*min, at most max
	copy     int64 // size in which long runs are copied at least, within the same bounds
	spread   int64 // number of copies that a large file is divided into at least
}

// s3Limits divide copies as far as few requests allow, since a server copies
// several parts at once, and one of 5 GiB takes it a while.
var s3Limits = limits{min: MinPart, max: MaxPart, parts: MaxParts, send: 16 << 20, copy: 512 << 20, spread: 5}

// Edit cuts an edited file into the parts of a multipart upload. Runs of the base
// become copies; everything else is sent. A sent run below MinPart borrows bytes
// from the base beside it, and a run of the base that is not worth a part is sent:
// the ranges of a Piece without Copy may thus hold base bytes, which have to be
// fetched first (Borrowed).
//
// The pieces cover the file exactly and in order; each but the last has at least
// MinPart bytes, none more than MaxPart, and there are at most MaxParts. No plan
// sends fewer bytes, unless it needs more than MaxParts pieces.
func Edit(e *Extents) []Piece { return s3Limits.edit(e) }

// PutMax is the largest file that is worth sending in one request.
const PutMax = 16 << 20

// putSaving is how many bytes a plan of parts must save before its requests (begin,
// a copy, complete) are worth more than fetching and sending those bytes.
const putSaving = 4 << 20

// OnePut tells whether the file is best sent whole, by one PUT.
func OnePut(e *Extents) bool {
	if e.Size() > PutMax || e.Bytes(Base) < putSaving {
		return e.Size() <= PutMax
	}
	saved := int64(0)
	for _, p := range Edit(e) {
		if p.Copy {
			saved += p.Len
		}
	}
	return saved < putSaving
}

// Borrowed is the ranges of the base that the sent pieces hold.
func Borrowed(e *Extents, pieces []Piece) []Extent {
	var out []Extent
	for _, p := range pieces {
		if p.Copy {
			continue
		}
		for _, x := range e.Range(p.Off, p.Len) {
			if x.Kind == Base {
				out = append(out, x)
			}
		}
	}
	return out
}

// maxPrice is more than merging any two parts is worth: only few runs are longer.
const maxPrice = 64 << 30

// edit looks for the plan with the fewest bytes. Where it has too many parts, first
// the parts grow, which costs nothing; then each part gets a price in bytes, the
// lowest that makes the plan small enough.
func (l limits) edit(e *Extents) []Piece {
	l.copy = min(max(partsOf(e.Bytes(Base), l.spread), l.copy), l.max)
	for changed := e.Size() - e.Bytes(Base); changed/l.send > int64(l.parts/2) && l.send < l.max; {
		l.send = min(2*l.send, l.max)
	}
	runs := l.copyable(e)
	pieces := l.cut(e.Size(), l.choose(runs, e.Size(), 0))
	if len(pieces) <= l.parts {
		return pieces
	}
	l.copy = l.max
	for {
		pieces = l.cut(e.Size(), l.choose(runs, e.Size(), maxPrice))
		if len(pieces) <= l.parts || l.send == l.max {
			break
		}
		l.send = min(2*l.send, l.max)
	}
	for low, high := int64(-1), int64(maxPrice); high-low > 1; {
		price := low + (high-low)/2
		if p := l.cut(e.Size(), l.choose(runs, e.Size(), price)); len(p) <= l.parts {
			high, pieces = price, p
		} else {
			low = price
		}
	}
	return pieces
}

// copyable lists the runs of the base that can be parts: those of at least min, and
// the end of the file.
func (l limits) copyable(e *Extents) []Extent {
	var out []Extent
	for _, x := range e.list {
		if x.Kind == Base && (x.Len >= l.min || x.End() == e.Size()) {
			out = append(out, x)
		}
	}
	return out
}

// cut makes parts of the copied ranges and of what lies between them.
func (l limits) cut(size int64, copied []Extent) []Piece {
	var out []Piece
	end := int64(0)
	for _, x := range copied {
		out = divide(out, Piece{end, x.Off - end, false}, l.send)
		out = divide(out, Piece{x.Off, x.Len, true}, l.copy)
		end = x.End()
	}
	return divide(out, Piece{end, size - end, false}, l.send)
}

// divide appends p in pieces of at most limit bytes that differ by one byte at most.
func divide(out []Piece, p Piece, limit int64) []Piece {
	n := partsOf(p.Len, limit)
	for i := int64(0); i < n; i++ {
		from, to := p.Len/n*i+min(i, p.Len%n), p.Len/n*(i+1)+min(i+1, p.Len%n)
		out = append(out, Piece{p.Off + from, to - from, p.Copy})
	}
	return out
}

// partsOf is the number of parts of at most limit bytes that n bytes need.
func partsOf(n, limit int64) int64 { return (n + limit - 1) / limit }
