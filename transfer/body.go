package transfer

import (
	"io"

	"s3mount/transfer/journal"
)

// body is a range of a content's local bytes on its way to the bucket.
type body struct {
	bodyReader
	spool *journal.File // referenced; nil: the range is all zeros
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
		return &body{bodyReader: &zeros{n: n}}
	}
	c.spool.Ref()
	return &body{bodyReader: c.spool.NewReader(off, n), spool: c.spool}
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
