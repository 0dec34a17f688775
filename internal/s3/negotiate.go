package s3

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"
)

// algorithm is the checksum that goes with bytes, for the server to compare.
type algorithm int32

// In order of preference. Only CRC64NVME is taken by the caller, and combined to
// that of the whole object; the others cost another pass over the bytes.
const (
	crc64nvmeSum algorithm = iota
	crc32cSum
	crc32Sum
	md5Sum // every server knows it
)

func (a algorithm) String() string {
	return [...]string{"CRC64NVME", "CRC32C", "CRC32", "MD5"}[a]
}

// declared is what a multipart upload with such parts is created with.
func (a algorithm) declared() (types.ChecksumAlgorithm, types.ChecksumType) {
	switch a {
	case crc64nvmeSum:
		return types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	case crc32cSum:
		return types.ChecksumAlgorithmCrc32c, "" // servers that lack CRC64NVME do not know types
	case crc32Sum:
		return types.ChecksumAlgorithmCrc32, ""
	}
	return "", ""
}

// Sum is a checksum as it goes to the server. The zero Sum is none.
type Sum struct {
	of    algorithm
	value string // base64
}

// of reads the body to its end, and goes back to where it was. With crc, the bytes
// must have that CRC64NVME: else they changed on this machine.
func (a algorithm) of(body io.ReadSeeker, crc *uint64) (Sum, error) {
	if a == crc64nvmeSum {
		return Sum{a, val(sumHeader(crc))}, nil
	}
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return Sum{}, err
	}
	var own hash.Hash = md5.New()
	switch a {
	case crc32cSum:
		own = crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case crc32Sum:
		own = crc32.NewIEEE()
	}
	check := crc64nvme.New()
	both := io.Writer(own)
	if crc != nil {
		both = io.MultiWriter(own, check)
	}
	if _, err = io.CopyBuffer(struct{ io.Writer }{both}, struct{ io.Reader }{body}, make([]byte, 256<<10)); err != nil {
		return Sum{}, err
	}
	if crc != nil && check.Sum64() != *crc {
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

func listedSum(crc32c, crc32 *string) Sum {
	switch {
	case crc32c != nil:
		return Sum{crc32cSum, *crc32c}
	case crc32 != nil:
		return Sum{crc32Sum, *crc32}
	}
	return Sum{}
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
// whether the answer confirms it. Without crc none is sent.
func (b *Bucket) withSum(op, key string, body io.ReadSeeker, crc *uint64, send func(Sum) (confirmed bool, err error)) error {
	if crc == nil {
		_, err := send(Sum{})
		return classify(op, key, err)
	}
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return &Error{Op: op, Key: key, Kind: ErrInvalid, Detail: "the body cannot seek", Err: err}
	}
	return b.negotiate(refusesSum, func(a algorithm) error {
		if _, err := body.Seek(start, io.SeekStart); err != nil {
			return classify(op, key, err)
		}
		s, err := a.of(body, crc)
		if err != nil {
			return classify(op, key, err)
		}
		confirmed, err := send(s)
		if err == nil && !confirmed {
			b.adopt(a+1, "the answer does not name it")
		}
		return classify(op, key, err)
	})
}
