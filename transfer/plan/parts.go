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
)

// Layout says where the parts of a streamed upload begin. It depends on nothing
// but the offset, so a part keeps its place whatever is written when.
// The zero value is the growing layout.
type Layout struct {
	// Fixed is the size of every part; 0 for growing parts.
	Fixed int64
}

// Part is the range of part n (1 to MaxParts).
func (l Layout) Part(n int) (off, size int64) {
	if l.Fixed > 0 {
		return int64(n-1) * l.Fixed, l.Fixed
	}
	if n == 1 {
		return 0, firstPart
	}
	k := n - 2 // parts between the first and this one
	off, size = firstPart, partStep
	for ; k >= stepParts; k -= stepParts {
		off += stepParts * size
		size *= 2
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
	off -= firstPart
	n, size := 2, int64(partStep)
	for off >= stepParts*size {
		off -= stepParts * size
		n += stepParts
		size *= 2
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
