package s3

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Head asks for one object, with its properties.
func (b *Bucket) Head(ctx context.Context, key string) (Object, error) {
	out, err := b.api.Load().HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &b.cfg.Bucket, Key: &key, RequestPayer: b.payer()})
	if err != nil {
		return Object{}, classify("HeadObject", key, err)
	}
	return Object{
		Key: key, ETag: quoted(out.ETag), VersionID: version(out.VersionId), Size: val(out.ContentLength),
		LastModified: val(out.LastModified), StorageClass: string(out.StorageClass),
		Archived: needsRestore(string(out.StorageClass), string(out.ArchiveStatus), val(out.Restore)),
		Props: properties(out.ContentType, out.CacheControl, out.ContentDisposition, out.ContentEncoding,
			out.ContentLanguage, out.ExpiresString, out.Metadata, out.StorageClass),
		HasProps: true,
	}, nil
}

// Put writes an object in one request; it replaces what is there, unless c says
// otherwise. The body is read from its present position, again for each try,
// and may be read until Put returns. crc is the CRC64NVME of the body, which
// the server compares; nil is not sent.
func (b *Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, crc *uint64, p Properties, c Cond) (Object, error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return Object{}, &Error{Op: "PutObject", Key: key, Kind: ErrInvalid, Detail: "the body cannot seek", Err: err}
	}
	in := &awss3.PutObjectInput{
		Bucket: &b.cfg.Bucket, Key: &key, Body: body, ContentLength: &size, RequestPayer: b.payer(),
		ContentType: str(p.ContentType), CacheControl: str(p.CacheControl), ContentDisposition: str(p.ContentDisposition),
		ContentEncoding: str(p.ContentEncoding), ContentLanguage: str(p.ContentLanguage), Expires: p.sentExpires(), Metadata: p.sentMeta(),
		StorageClass: b.storageClass(&p), ACL: types.ObjectCannedACL(b.cfg.ACL),
		ServerSideEncryption: types.ServerSideEncryption(b.cfg.SSE), SSEKMSKeyId: str(b.cfg.SSEKMSKey),
		IfMatch: str(c.IfMatch), IfNoneMatch: ifNoneMatch(c),
	}
	if !b.noSums.Load() {
		in.ChecksumCRC64NVME = sumHeader(crc)
	}
	out, err := b.api.Load().PutObject(ctx, in, unsigned)
	err = classify("PutObject", key, err)
	if errors.Is(err, ErrUnsupported) && in.ChecksumCRC64NVME != nil {
		if _, err = body.Seek(start, io.SeekStart); err == nil {
			in.ChecksumCRC64NVME = nil
			out, err = b.api.Load().PutObject(ctx, in, unsigned)
			b.noSums.Store(err == nil)
		}
		err = classify("PutObject", key, err)
	}
	if err != nil {
		return Object{}, b.explainReset(ctx, key, c, goneMeansChanged(err, c))
	}
	return b.written(key, out.ETag, out.VersionId, size)
}

// goneMeansChanged: to If-Match on an object that does not exist, some servers
// answer 404 and others 412. Here it is ErrPrecondition.
func goneMeansChanged(err error, c Cond) error {
	var e *Error
	if c.IfMatch != "" && errors.As(err, &e) && e.Kind == ErrNotFound {
		e.Kind = ErrPrecondition
	}
	return err
}

// explainReset: a server that refuses a precondition may close the connection
// while the body is still being sent, which looks like a broken connection. The
// object tells whether the precondition failed. (It may also have failed because
// this very request succeeded and only its answer was lost; the same is true of
// any ErrPrecondition, since requests are repeated.)
func (b *Bucket) explainReset(ctx context.Context, key string, c Cond, failed error) error {
	conditional := c.IfNoneMatch || c.IfMatch != ""
	if !conditional || !isReset(failed) {
		return failed
	}
	o, err := b.Head(ctx, key)
	exists := err == nil
	refused := c.IfNoneMatch && exists || c.IfMatch != "" && (exists && !sameETag(o.ETag, c.IfMatch) || errors.Is(err, ErrNotFound))
	if !refused {
		return failed
	}
	return &Error{Op: "PutObject", Key: key, Kind: ErrPrecondition, Err: failed}
}

// Copy copies within the bucket, on the server, up to 5 GiB. srcETag, when not
// empty, must still be the source's. A nil replace keeps the properties.
func (b *Bucket) Copy(ctx context.Context, srcKey, srcETag, dstKey string, replace *Properties, c Cond) (Object, error) {
	if strings.HasSuffix(srcKey, "/") {
		return b.copyMarker(ctx, srcKey, srcETag, dstKey, replace, c)
	}
	return b.copyObject(ctx, srcKey, srcETag, dstKey, replace, c)
}

// copyMarker writes the marker of a directory anew: servers that keep it as a
// directory cannot copy it.
func (b *Bucket) copyMarker(ctx context.Context, srcKey, srcETag, dstKey string, replace *Properties, c Cond) (Object, error) {
	o, err := b.Head(ctx, srcKey)
	switch {
	case err != nil:
		return Object{}, err
	case o.Size > 0:
		return b.copyObject(ctx, srcKey, srcETag, dstKey, replace, c)
	case srcETag != "" && !sameETag(o.ETag, srcETag):
		return Object{}, &Error{Op: "CopyObject", Key: dstKey, Kind: ErrPrecondition, Detail: "the source changed"}
	}
	if replace == nil {
		replace = &o.Props
	}
	return b.Put(ctx, dstKey, strings.NewReader(""), 0, nil, *replace, c)
}

func (b *Bucket) copyObject(ctx context.Context, srcKey, srcETag, dstKey string, replace *Properties, c Cond) (Object, error) {
	in := &awss3.CopyObjectInput{
		Bucket: &b.cfg.Bucket, Key: &dstKey, CopySource: aws.String(b.copySource(srcKey)), CopySourceIfMatch: str(srcETag),
		RequestPayer: b.payer(), StorageClass: b.storageClass(replace), ACL: types.ObjectCannedACL(b.cfg.ACL),
		ServerSideEncryption: types.ServerSideEncryption(b.cfg.SSE), SSEKMSKeyId: str(b.cfg.SSEKMSKey),
		IfMatch: str(c.IfMatch), IfNoneMatch: ifNoneMatch(c), MetadataDirective: types.MetadataDirectiveCopy,
	}
	if p := replace; p != nil {
		in.MetadataDirective = types.MetadataDirectiveReplace
		in.ContentType, in.CacheControl, in.ContentDisposition = str(p.ContentType), str(p.CacheControl), str(p.ContentDisposition)
		in.ContentEncoding, in.ContentLanguage = str(p.ContentEncoding), str(p.ContentLanguage)
		in.Expires, in.Metadata = p.sentExpires(), p.sentMeta()
	}
	out, err := b.api.Load().CopyObject(ctx, in)
	if err != nil {
		return Object{}, classify("CopyObject", dstKey, err)
	}
	if out.CopyObjectResult == nil {
		return Object{}, &Error{Op: "CopyObject", Key: dstKey, Kind: ErrServer, Detail: "empty answer"}
	}
	o, err := b.written(dstKey, out.CopyObjectResult.ETag, out.VersionId, 0)
	o.LastModified = val(out.CopyObjectResult.LastModified)
	return o, err
}

// Delete removes an object; one that does not exist is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.api.Load().DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.cfg.Bucket, Key: &key, RequestPayer: b.payer()})
	err = classify("DeleteObject", key, err)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// written is the Object that a successful write made.
func (b *Bucket) written(key string, etag, versionID *string, size int64) (Object, error) {
	o := Object{Key: key, ETag: quoted(etag), VersionID: version(versionID), Size: size, StorageClass: b.cfg.StorageClass}
	if o.ETag == "" {
		return o, &Error{Op: "PutObject", Key: key, Kind: ErrServer, Detail: "the answer has no ETag"}
	}
	return o, nil
}

// version leaves out what buckets without versions call "null".
func version(id *string) string {
	if val(id) == "null" {
		return ""
	}
	return val(id)
}

func ifNoneMatch(c Cond) *string {
	if c.IfNoneMatch {
		return aws.String("*")
	}
	return nil
}

// unsigned leaves the body out of the signature: hashing it costs more CPU than
// sending it, and the CRC64NVME protects it.
func unsigned(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}
