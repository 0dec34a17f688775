package s3

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"strings"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"s3mount/internal/sum"
)

// RunSum is the checksum that the server has of a run of bytes of an object.
type RunSum struct {
	Size int64
	Sum  Sum
}

// Sums asks for the checksums of the bytes of a version of an object, that of all, or those
// of its parts, in order. There are none where the server has none that is combined with
// those of neighbours, like an MD5, or does not list those of parts.
func (b *Bucket) Sums(ctx context.Context, o Object) ([]RunSum, error) {
	out, err := b.api.Load().HeadObject(ctx, &awss3.HeadObjectInput{
		Bucket: &b.cfg.Bucket, Key: &o.Key, IfMatch: ifMatch(o.ETag), VersionId: str(o.VersionID), RequestPayer: b.payer(),
	}, withSums)
	if err != nil {
		return nil, classify("HeadObject", o.Key, err)
	}
	if o.ETag != "" && !sameETag(o.ETag, etagOf(o.Key, out.ETag, out.LastModified, val(out.ContentLength))) {
		return nil, &Error{Op: "HeadObject", Key: o.Key, Kind: ErrChanged}
	}
	s, parts := objectSum(out.ChecksumType, out.ETag, out.ChecksumCRC64NVME, out.ChecksumCRC32C, out.ChecksumCRC32)
	switch {
	case parts:
		return b.partSums(ctx, o)
	case s.Kind() != 0:
		return []RunSum{{o.Size, s}}, nil
	}
	return nil, nil
}

// partSums asks for those of the parts that an object was uploaded in.
func (b *Bucket) partSums(ctx context.Context, o Object) (all []RunSum, err error) {
	in := &awss3.GetObjectAttributesInput{
		Bucket: &b.cfg.Bucket, Key: &o.Key, VersionId: str(o.VersionID), RequestPayer: b.payer(),
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag, types.ObjectAttributesObjectParts},
	}
	left := o.Size
	for {
		out, err := b.api.Load().GetObjectAttributes(ctx, in)
		if err != nil {
			return nil, classify("GetObjectAttributes", o.Key, err)
		}
		if o.ETag != "" && !sameETag(o.ETag, val(out.ETag)) {
			return nil, &Error{Op: "GetObjectAttributes", Key: o.Key, Kind: ErrChanged}
		}
		if out.ObjectParts == nil || len(out.ObjectParts.Parts) == 0 {
			return nil, nil
		}
		for _, p := range out.ObjectParts.Parts {
			s := saidSum(p.ChecksumCRC64NVME, p.ChecksumCRC32C, p.ChecksumCRC32)
			if s.Kind() == 0 || len(all) > 0 && s.Kind() != all[0].Sum.Kind() {
				return nil, nil
			}
			all = append(all, RunSum{val(p.Size), s})
			left -= val(p.Size)
		}
		if !val(out.ObjectParts.IsTruncated) {
			break
		}
		if val(out.ObjectParts.NextPartNumberMarker) == val(in.PartNumberMarker) {
			return nil, &Error{Op: "GetObjectAttributes", Key: o.Key, Kind: ErrServer, Detail: "the listing does not advance"}
		}
		in.PartNumberMarker = out.ObjectParts.NextPartNumberMarker
	}
	if left != 0 {
		return nil, nil // these are not all
	}
	return all, nil
}

// objectSum is saidSum where it is one of all bytes of an object. Of those that were
// uploaded in parts some have a checksum of the checksums of parts, which may end in their
// number. A store that knows no types has no other CRC32C or CRC32 of them.
func objectSum(kind types.ChecksumType, etag, crc64, crc32c, crc32 *string) (s Sum, parts bool) {
	s = saidSum(crc64, crc32c, crc32)
	untyped := s.Known() && s.of != crc64nvmeSum && kind == "" && InParts(val(etag))
	if s.Known() && (untyped || kind == types.ChecksumTypeComposite || strings.Contains(s.value, "-")) {
		return Sum{}, true
	}
	return s, false
}

// InParts tells by its ETag whether an object was uploaded in parts.
func InParts(etag string) bool { return strings.Contains(etag, "-") && !Dated(etag) }

// Kind is which of those in sum.Sums it is, 0 if none.
func (s Sum) Kind() sum.Kind {
	raw, err := base64.StdEncoding.DecodeString(s.value)
	switch {
	case err != nil:
	case s.of == crc64nvmeSum && len(raw) == 8:
		return sum.CRC64NVME
	case s.of == crc32cSum && len(raw) == 4:
		return sum.CRC32C
	case s.of == crc32Sum && len(raw) == 4:
		return sum.CRC32
	}
	return 0
}

// Sums is it in the field of its Kind.
func (s Sum) Sums() (sums sum.Sums) {
	raw, _ := base64.StdEncoding.DecodeString(s.value) // Kind has found it sound
	switch s.Kind() {
	case sum.CRC64NVME:
		sums.CRC64NVME = binary.BigEndian.Uint64(raw)
	case sum.CRC32C:
		sums.CRC32C = binary.BigEndian.Uint32(raw)
	case sum.CRC32:
		sums.CRC32 = binary.BigEndian.Uint32(raw)
	}
	return sums
}
