package plan

// Limits of S3 multipart uploads.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	// MaxParts is the largest part number.
	MaxParts = 10000
	// MinPart is the smallest size of every part but the last.
	MinPart = 5 << 20
	// MaxPart is the largest size of a part, and of a server-side copy.
	MaxPart = 5 << 30
	// MaxObject is the largest object.
	MaxObject = 5 << 40
)

const (
	// firstPart is the size of part 1. It is the head that muxers patch when they
	// close, so it waits for the close, and is as small as S3 allows.
	firstPart = MinPart
	// partStep is the size of the parts behind it. It doubles every stepParts parts,
	// so that MaxParts parts hold more than MaxObject.
	partStep  = 8 << 20
	stepParts = 1000
	// A file whose size was announced gets about hintParts parts of one size. Should it
	// outgrow them, the size doubles after evenParts, and again every moreParts parts.
	hintParts = 4000
	evenParts = 5000
	moreParts = 500
	// maxStep is where doubling ends.
	maxStep = 4 << 30
)

// Layout says where the parts of a streamed upload begin. It depends on nothing
// but the offset, so a part keeps its place whatever is written when.
// The zero value is the growing layout: small parts for small files, and any file
// fits.
type Layout struct {
	// Fixed is the size of every part; 0 for growing parts.
	Fixed int64
	// Hint is the size of the file, where it was announced before the first byte; 0
	// where it was not. A large file gets parts of one size then, neither very many nor
	// very large ones at its end. It may become larger or smaller all the same.
	Hint int64
}

// growth is how part sizes grow behind the first part: even parts of step bytes, then
// the size doubles every each parts.
type growth struct {
	step       int64
	even, each int
}

func (l Layout) growth() growth {
	if l.Hint <= firstPart+stepParts*partStep {
		return growth{partStep, stepParts, stepParts}
	}
	g := growth{partStep, evenParts, moreParts}
	for g.step*hintParts < min(l.Hint, MaxObject) {
		g.step *= 2
	}
	return g
}

// Part is the range of part n (1 to MaxParts).
func (l Layout) Part(n int) (off, size int64) {
	if l.Fixed > 0 {
		return int64(n-1) * l.Fixed, l.Fixed
	}
	if n == 1 {
		return 0, firstPart
	}
	g := l.growth()
	off, size = firstPart, g.step
	k, run := n-2, g.even // parts between the first and this one
	for ; k >= run; run = g.each {
		off += int64(run) * size
		k -= run
		size = min(2*size, maxStep)
	}
	return off + int64(k)*size, size
}

// At is the number of the part that holds off.
func (l Layout) At(off int64) int {
	if l.Fixed > 0 {
		return int(off/l.Fixed) + 1
	}
	if off < firstPart {
		return 1
	}
	g := l.growth()
	off -= firstPart
	n, size, run := 2, g.step, g.even
	for ; off >= int64(run)*size; run = g.each {
		off -= int64(run) * size
		n += run
		size = min(2*size, maxStep)
	}
	return n + int(off/size)
}

// Count is how many parts a file of size bytes has.
func (l Layout) Count(size int64) int {
	if size == 0 {
		return 0
	}
	return l.At(size - 1)
}

// Sealed is the last part that lies wholly below the written end of a file that
// is still growing: there is at least one byte behind it, so it is never the
// last, and never too small.
func (l Layout) Sealed(end int64) int {
	if end == 0 {
		return 0
	}
	return l.At(end-1) - 1
}

// MaxSize is the largest file that the layout can hold.
func (l Layout) MaxSize() int64 {
	off, size := l.Part(MaxParts)
	return min(off+size, MaxObject)
}
