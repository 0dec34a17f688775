package s3

import (
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"s3mount/internal/sum"
)

// declared is the checksum that all parts of a multipart upload have to have, as the server
// says. An earlier process may have begun the upload with another one than goes with
// bytes now, and servers refuse to mix them.
type declared struct {
	said  bool
	parts algorithm
	whole bool // they are combined to that of the object
}

// noteDeclared remembers what the server says of an upload, which may be nothing.
func (b *Bucket) noteDeclared(uploadID string, said types.ChecksumAlgorithm, kind types.ChecksumType) {
	for _, a := range []algorithm{crc32cSum, crc64nvmeSum, crc32Sum} {
		if name, _ := a.declared(); name == said {
			b.declaredSums.Store(uploadID, declared{said: true, parts: a, whole: kind == types.ChecksumTypeFullObject})
		}
	}
}

// declaredTo is what was noted of an upload.
func (b *Bucket) declaredTo(uploadID string) declared {
	d, _ := b.declaredSums.Load(uploadID)
	known, _ := d.(declared)
	return known
}

// withPartSum is withSum for a part, with what the upload was created with.
func (b *Bucket) withPartSum(key, uploadID string, body io.ReadSeeker, sums *sum.Sums, send func(Sum) (confirmed bool, err error)) error {
	d := b.declaredTo(uploadID)
	if !d.said {
		return b.withSum("UploadPart", key, body, sums, send)
	}
	attempt, err := b.attempt("UploadPart", key, body, sums, send)
	if err != nil {
		return err
	}
	if err = attempt(d.parts); err == nil || !refusesSum(err) {
		return err
	}
	b.declaredSums.Delete(uploadID) // it says one thing and does another
	return b.negotiate(refusesSum, attempt)
}
