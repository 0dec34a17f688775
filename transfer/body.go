package transfer

import (
	"io"

	"s3mount/transfer/journal"
)

// body is a range of a content's local bytes on its way to the bucket. The transport
// uses it from one goroutine at a time.
type body struct {
	bodyReader
	spool *journal.File // referenced; nil: the range is all zeros
	left  int64         // bytes that the transport has not taken
	n     int64
	taken func() // called when it has taken all of them; nil: nobody wants to know
}

type bodyReader interface {
	io.ReadSeeker
	io.WriterTo
	io.Closer
}

// body opens a range that holds no bytes of the base. The caller holds File.mu, and
// closes it.
func (c *content) body(off, n int64) *body {
	if c.spool == nil {
		return &body{bodyReader: &zeros{n: n}, n: n, left: n}
	}
	c.spool.Ref()
	return &body{bodyReader: c.spool.NewReader(off, n), spool: c.spool, n: n, left: n}
}

func (b *body) Read(p []byte) (int, error) {
	k, err := b.bodyReader.Read(p)
	b.took(int64(k))
	return k, err
}

// WriteTo writes the rest of the range to w.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	k, err := b.bodyReader.WriteTo(w)
	b.took(k)
	return k, err
}

// Seek moves to another place of the range.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	pos, err := b.bodyReader.Seek(offset, whence)
	if err == nil {
		b.left = b.n - pos
	}
	return pos, err
}

func (b *body) took(k int64) {
	if b.left -= k; b.left <= 0 && k > 0 && b.taken != nil {
		b.taken()
	}
}

func (b *body) Close() {
	b.bodyReader.Close() // gives memory back
	if b.spool != nil {
		b.spool.Unref()
	}
}

// zeros is n bytes of a content without a spool file.
type zeros struct{ pos, n int64 }

var zeroBlock [64 << 10]byte

func (z *zeros) Read(p []byte) (int, error) {
	if z.pos >= z.n {
		return 0, io.EOF
	}
	k := int(min(int64(len(p)), z.n-z.pos))
	clear(p[:k])
	z.pos += int64(k)
	return k, nil
}

func (z *zeros) WriteTo(w io.Writer) (int64, error) {
	start := z.pos
	for z.pos < z.n {
		k, err := w.Write(zeroBlock[:min(int64(len(zeroBlock)), z.n-z.pos)])
		z.pos += int64(k)
		if err != nil {
			return z.pos - start, err
		}
	}
	return z.pos - start, nil
}

func (z *zeros) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += z.pos
	case io.SeekEnd:
		offset += z.n
	}
	z.pos = offset
	return offset, nil
}

func (z *zeros) Close() error { return nil }
