package s3

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"s3mount/internal/sum"
)

// algorithm is the checksum that goes with bytes, for the server to compare.
type algorithm int32

// In order of preference. The caller takes the first two of the bytes as they pass; the
// others cost another pass. CRC32C goes first: every processor has an instruction for it,
// while Go's own CRC64, which MinIO takes, makes 1.4 GB/s: next to MD5 that was the most CPU of
// MinIO's own code for an upload.
const (
	crc32cSum algorithm = iota
	crc64nvmeSum
	crc32Sum
	md5Sum // every server knows it
)

func (a algorithm) String() string {
	return [...]string{"CRC32C", "CRC64NVME", "CRC32", "MD5"}[a]
}

// whole tells whether the parts' checksums are combined to that of the object.
func (a algorithm) whole() bool { return a <= crc64nvmeSum }

// declared is what a multipart upload with such parts is created with.
func (a algorithm) declared() (types.ChecksumAlgorithm, types.ChecksumType) {
	switch a {
	case crc32cSum:
		return types.ChecksumAlgorithmCrc32c, types.ChecksumTypeFullObject
	case crc64nvmeSum:
		return types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	case crc32Sum:
		return types.ChecksumAlgorithmCrc32, "" // servers that lack the others do not know types
	}
	return "", ""
}

// Sum is a checksum as the server has it. The zero Sum is none.
type Sum struct {
	of    algorithm
	value string // base64, big endian
}

// Known tells whether there is one.
func (s Sum) Known() bool { return s.value != "" }

// Comparable tells whether it can be compared with Sums.
func (s Sum) Comparable() bool { return s.Known() && s.of.whole() }

// Is tells whether it is that of the bytes with these Sums. It must be Comparable.
func (s Sum) Is(sums sum.Sums) bool { return s == s.of.pick(sums) }

// pick is one of both.
func (a algorithm) pick(s sum.Sums) Sum {
	raw := binary.BigEndian.AppendUint32(nil, s.CRC32C)
	if a == crc64nvmeSum {
		raw = binary.BigEndian.AppendUint64(nil, s.CRC64NVME)
	}
	return Sum{a, base64.StdEncoding.EncodeToString(raw)}
}

// saidSum is the checksum that an answer names.
func saidSum(crc64, crc32c, crc32 *string) Sum {
	switch {
	case crc32c != nil:
		return Sum{crc32cSum, *crc32c}
	case crc64 != nil:
		return Sum{crc64nvmeSum, *crc64}
	case crc32 != nil:
		return Sum{crc32Sum, *crc32}
	}
	return Sum{}
}

// of takes the checksum of a body, which has these Sums. The others than those read it to
// its end, and go back to where it was: bytes that have changed on this machine are found.
func (a algorithm) of(body io.ReadSeeker, sums *sum.Sums) (Sum, error) {
	if a.whole() {
		return a.pick(*sums), nil
	}
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return Sum{}, err
	}
	var own hash.Hash = md5.New()
	if a == crc32Sum {
		own = crc32.NewIEEE()
	}
	var check sum.Sums
	both := io.Writer(own)
	if sums != nil {
		both = io.MultiWriter(own, &check)
	}
	if _, err = io.CopyBuffer(struct{ io.Writer }{both}, struct{ io.Reader }{body}, make([]byte, 256<<10)); err != nil {
		return Sum{}, err
	}
	if sums != nil && check != *sums {
		return Sum{}, &Error{Op: "checksum", Kind: ErrBadDigest, Detail: "the bytes are not those that were written"}
	}
	_, err = body.Seek(start, io.SeekStart)
	return Sum{a, base64.StdEncoding.EncodeToString(own.Sum(nil))}, err
}

// headers is the sum in the field of its algorithm.
func (s Sum) headers() (crc64, crc32c, crc32, md5 *string) {
	switch s.of {
	case crc64nvmeSum:
		return str(s.value), nil, nil, nil
	case crc32cSum:
		return nil, str(s.value), nil, nil
	case crc32Sum:
		return nil, nil, str(s.value), nil
	}
	return nil, nil, nil, str(s.value)
}

// confirmed tells whether the answer names the sum: a server that does not know
// an algorithm may just ignore it.
func (s Sum) confirmed(crc64, crc32c, crc32 *string) bool {
	switch s.of {
	case crc64nvmeSum:
		return val(crc64) == s.value
	case crc32cSum:
		return val(crc32c) == s.value
	case crc32Sum:
		return val(crc32) == s.value
	}
	return true
}

func (b *Bucket) algorithm() algorithm { return algorithm(b.sums.Load()) }

// adopt goes down to a less preferred algorithm, for good, and says so once.
func (b *Bucket) adopt(a algorithm, why string) {
	for {
		now := b.sums.Load()
		if int32(a) <= now {
			return
		}
		if b.sums.CompareAndSwap(now, int32(a)) {
			b.log.Warn("the server does not verify "+algorithm(now).String()+": uploads go with another checksum", "checksum", a.String(), "reason", why)
			return
		}
	}
}

// negotiate runs attempt with the algorithms that the server may know, until one is
// not refused.
func (b *Bucket) negotiate(refused func(error) bool, attempt func(algorithm) error) error {
	for a := b.algorithm(); ; a++ {
		err := attempt(a)
		if err == nil {
			b.adopt(a, "refused")
		}
		if err == nil || a == md5Sum || !refused(err) {
			return err
		}
	}
}

// refusesSum tells whether the server does not take the checksum of a request.
func refusesSum(err error) bool {
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrInvalid) {
		return false
	}
	said := strings.ToLower(e.Detail)
	return errors.Is(err, ErrUnsupported) || strings.Contains(said, "checksum") || strings.Contains(said, "crc")
}

// withSum sends a body with the checksum that the server knows best. send tells
// whether the answer confirms it. Without sums none is sent.
func (b *Bucket) withSum(op, key string, body io.ReadSeeker, sums *sum.Sums, send func(Sum) (confirmed bool, err error)) error {
	if sums == nil {
		_, err := send(Sum{})
		return classify(op, key, err)
	}
	attempt, err := b.attempt(op, key, body, sums, send)
	if err != nil {
		return err
	}
	return b.negotiate(refusesSum, attempt)
}

// attempt is what sends a body with the checksum of an algorithm, from where the body is now.
func (b *Bucket) attempt(op, key string, body io.ReadSeeker, sums *sum.Sums, send func(Sum) (confirmed bool, err error)) (func(algorithm) error, error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, &Error{Op: op, Key: key, Kind: ErrInvalid, Detail: "the body cannot seek", Err: err}
	}
	return func(a algorithm) error {
		if _, err := body.Seek(start, io.SeekStart); err != nil {
			return classify(op, key, err)
		}
		s, err := a.of(body, sums)
		if err != nil {
			return classify(op, key, err)
		}
		confirmed, err := send(s)
		if err == nil && !confirmed {
			b.adopt(a+1, "the answer does not name it")
		}
		return classify(op, key, err)
	}, nil
}
