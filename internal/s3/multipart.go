package s3

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"s3mount/internal/sum"
)

// UploadOption changes how a multipart upload is created.
type UploadOption int

// WithCopies prepares an upload for UploadPartCopy: it carries no checksums,
// since servers differ in how they mix the two.
const WithCopies UploadOption = 1

// CreateUpload begins a multipart upload. Its parts are to be sent with their
// Sums, unless it was created WithCopies: then without. Where the server knows neither
// of those, it gets another checksum by itself.
func (b *Bucket) CreateUpload(ctx context.Context, key string, p Properties, opts ...UploadOption) (uploadID string, err error) {
	in := &awss3.CreateMultipartUploadInput{
		Bucket: &b.cfg.Bucket, Key: &key, RequestPayer: b.payer(),
		ContentType: str(p.ContentType), CacheControl: str(p.CacheControl), ContentDisposition: str(p.ContentDisposition),
		ContentEncoding: str(p.ContentEncoding), ContentLanguage: str(p.ContentLanguage), Expires: p.sentExpires(), Metadata: p.sentMeta(),
		StorageClass: b.storageClass(&p), ACL: types.ObjectCannedACL(b.cfg.ACL), Tagging: str(p.Tags),
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = b.encryption(&p)
	var out *awss3.CreateMultipartUploadOutput
	attempt := func(a algorithm) (err error) {
		in.ChecksumAlgorithm, in.ChecksumType = a.declared()
		out, err = b.api.Load().CreateMultipartUpload(ctx, in)
		return classify("CreateMultipartUpload", key, err)
	}
	if len(opts) > 0 {
		err = attempt(md5Sum)
	} else {
		err = b.negotiate(func(err error) bool { return errors.Is(err, ErrUnsupported) || errors.Is(err, ErrInvalid) }, attempt)
	}
	if err != nil {
		return "", err
	}
	if val(out.UploadId) == "" {
		return "", &Error{Op: "CreateMultipartUpload", Key: key, Kind: ErrServer, Detail: "the answer has no upload ID"}
	}
	if out.ChecksumAlgorithm == in.ChecksumAlgorithm {
		b.noteDeclared(*out.UploadId, out.ChecksumAlgorithm, out.ChecksumType)
	}
	return *out.UploadId, nil
}

// UploadPart sends part n. The body is read as by Put. Without sums, as in uploads
// created WithCopies, its MD5 is sent.
func (b *Bucket) UploadPart(ctx context.Context, key, uploadID string, n int32, body io.ReadSeeker, size int64, sums *sum.Sums) (Part, error) {
	in := &awss3.UploadPartInput{
		Bucket: &b.cfg.Bucket, Key: &key, UploadId: &uploadID, PartNumber: &n,
		Body: body, ContentLength: &size, RequestPayer: b.payer(),
	}
	part := Part{Number: n, Size: size, Sums: sums}
	send := func(s Sum) (confirmed bool, err error) {
		in.ChecksumCRC64NVME, in.ChecksumCRC32C, in.ChecksumCRC32, in.ContentMD5 = s.headers()
		out, err := b.api.Load().UploadPart(withBody(ctx, body), in, unsigned, b.brief)
		if err != nil {
			return false, err
		}
		part.ETag, part.Sum = quoted(out.ETag), s
		return s.confirmed(out.ChecksumCRC64NVME, out.ChecksumCRC32C, out.ChecksumCRC32), nil
	}
	var err error
	if sums != nil {
		err = b.withPartSum(key, uploadID, body, sums, send)
	} else {
		var s Sum
		if s, err = md5Sum.of(body, nil); err == nil {
			_, err = send(s)
		}
		err = classify("UploadPart", key, err)
	}
	if err != nil {
		return Part{}, b.explainPartReset(ctx, key, uploadID, ofUpload(err))
	}
	return uploaded("UploadPart", key, part)
}

// UploadPartCopy makes part n of size bytes at off of another object, on the
// server, up to 5 GiB. Of src, ETag and version ID count as by Copy.
func (b *Bucket) UploadPartCopy(ctx context.Context, key, uploadID string, n int32, src Object, off, size int64) (Part, error) {
	p, err := b.copyPart(ctx, key, uploadID, n, src, "", off, size)
	if src.sourceGone(err) {
		return b.copyPart(ctx, key, uploadID, n, src, src.VersionID, off, size)
	}
	return p, err
}

func (b *Bucket) copyPart(ctx context.Context, key, uploadID string, n int32, src Object, version string, off, size int64) (Part, error) {
	out, err := b.api.Load().UploadPartCopy(ctx, &awss3.UploadPartCopyInput{
		Bucket: &b.cfg.Bucket, Key: &key, UploadId: &uploadID, PartNumber: &n, RequestPayer: b.payer(),
		CopySource: aws.String(b.copySource(src.Key, version)), CopySourceIfMatch: ifMatch(src.ETag), CopySourceIfUnmodifiedSince: ifUnmodified(src.ETag),
		CopySourceRange: aws.String(byteRange(off, size)),
	})
	if err != nil {
		return Part{}, ofUpload(classify("UploadPartCopy", key, err))
	}
	if out.CopyPartResult == nil {
		return Part{}, &Error{Op: "UploadPartCopy", Key: key, Kind: ErrServer, Detail: "empty answer"}
	}
	return uploaded("UploadPartCopy", key, Part{Number: n, ETag: quoted(out.CopyPartResult.ETag), Size: size})
}

// explainPartReset finds out whether the connection broke because the upload is
// gone; see explainReset.
func (b *Bucket) explainPartReset(ctx context.Context, key, uploadID string, failed error) error {
	if !isReset(failed) {
		return failed
	}
	_, err := b.api.Load().ListParts(ctx, &awss3.ListPartsInput{
		Bucket: &b.cfg.Bucket, Key: &key, UploadId: &uploadID, MaxParts: aws.Int32(1), RequestPayer: b.payer(),
	})
	if err = ofUpload(classify("UploadPart", key, err)); errors.Is(err, ErrNoUpload) {
		return err
	}
	return failed
}

func uploaded(op, key string, p Part) (Part, error) {
	if p.ETag == "" {
		return Part{}, &Error{Op: op, Key: key, Kind: ErrServer, Detail: "the answer has no ETag"}
	}
	return p, nil
}

// ofUpload: some servers say 404 without a code for an upload that is gone.
func ofUpload(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Kind == ErrNotFound && e.Code == "" {
		e.Kind = ErrNoUpload
	}
	return err
}

// Complete turns the parts, in ascending order, into the object. When all of
// them have checksums that the server combines, that of the whole is sent too, for it to compare.
func (b *Bucket) Complete(ctx context.Context, key, uploadID string, parts []Part, c Cond) (Object, error) {
	if err := b.checkDated(ctx, key, c); err != nil {
		return Object{}, err
	}
	in := &awss3.CompleteMultipartUploadInput{
		Bucket: &b.cfg.Bucket, Key: &key, UploadId: &uploadID, RequestPayer: b.payer(),
		IfMatch: ifMatch(c.IfMatch), IfNoneMatch: ifNoneMatch(c), MultipartUpload: &types.CompletedMultipartUpload{},
	}
	d := b.declaredTo(uploadID)
	if whole := wholeSum(parts); whole.Known() && d.whole && whole.of == d.parts {
		in.ChecksumCRC64NVME, in.ChecksumCRC32C, _, _ = whole.headers()
		in.ChecksumType = types.ChecksumTypeFullObject
	}
	var size int64
	for _, p := range parts {
		size += p.Size
		done := types.CompletedPart{PartNumber: aws.Int32(p.Number), ETag: aws.String(p.ETag)}
		done.ChecksumCRC64NVME, done.ChecksumCRC32C, done.ChecksumCRC32, _ = p.Sum.headers()
		in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, done)
	}
	out, err := b.api.Load().CompleteMultipartUpload(ctx, in)
	if err != nil {
		err = ofUpload(classify("CompleteMultipartUpload", key, err))
		return Object{}, goneMeansChanged(err, c)
	}
	b.declaredSums.Delete(uploadID)
	o, err := b.written(key, out.ETag, out.VersionId, size, out.ResultMetadata)
	o.Props.SSE, o.Props.SSEKMSKey, o.Props.BucketKey = string(out.ServerSideEncryption), val(out.SSEKMSKeyId), val(out.BucketKeyEnabled)
	return o, err
}

// wholeSum combines the checksums of the parts, if the server compared one of the same kind
// with each.
func wholeSum(parts []Part) Sum {
	var all sum.Sums
	for _, p := range parts {
		if p.Sums == nil || !p.Sum.Comparable() || p.Sum.of != parts[0].Sum.of {
			return Sum{}
		}
		all = all.Then(*p.Sums, p.Size)
	}
	if len(parts) == 0 {
		return Sum{}
	}
	return parts[0].Sum.of.pick(all)
}

// Abort ends an upload and drops its parts; one that is gone is no error. Parts
// that are being sent meanwhile may survive: end them first.
func (b *Bucket) Abort(ctx context.Context, key, uploadID string) error {
	_, err := b.api.Load().AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{
		Bucket: &b.cfg.Bucket, Key: &key, UploadId: &uploadID, RequestPayer: b.payer(),
	})
	err = ofUpload(classify("AbortMultipartUpload", key, err))
	if errors.Is(err, ErrNoUpload) || errors.Is(err, ErrNotFound) {
		err = nil
	}
	if err == nil {
		b.declaredSums.Delete(uploadID)
	}
	return err
}
