package s3

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"s3mount/internal/sum"
)

// Head asks for one object, with its properties.
func (b *Bucket) Head(ctx context.Context, key string) (Object, error) {
	out, err := b.api.Load().HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &b.cfg.Bucket, Key: &key, RequestPayer: b.payer()}, b.patient)
	if err != nil {
		return Object{}, classify("HeadObject", key, err)
	}
	if val(out.ETag) == "" && out.LastModified == nil {
		return Object{}, &Error{Op: "HeadObject", Key: key, Kind: ErrUnavailable, Detail: notS3}
	}
	size := val(out.ContentLength)
	if out.ContentLength == nil {
		if size, err = b.listedSize(ctx, key, out.ETag); err != nil {
			return Object{}, err
		}
	}
	o := Object{
		Key: key, ETag: etagOf(key, out.ETag, out.LastModified, size), VersionID: version(out.VersionId), Size: size,
		LastModified: val(out.LastModified), Date: serverTime(out.ResultMetadata), StorageClass: string(out.StorageClass),
		Archived: needsRestore(string(out.StorageClass), string(out.ArchiveStatus), val(out.Restore)),
		Props: properties(out.ContentType, out.CacheControl, out.ContentDisposition, out.ContentEncoding,
			out.ContentLanguage, out.ExpiresString, out.Metadata, out.StorageClass),
		HasProps: true,
	}
	o.Props.SSE, o.Props.SSEKMSKey, o.Props.BucketKey = string(out.ServerSideEncryption), val(out.SSEKMSKeyId), val(out.BucketKeyEnabled)
	o.Props.TagCount = int(val(out.TagCount))
	return o, nil
}

// Put writes an object in one request; it replaces what is there, unless c says
// otherwise. The body is read from its present position, again for each try,
// and may be read until Put returns. The server compares the body with
// its Sums; nil are not sent.
func (b *Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, sums *sum.Sums, p Properties, c Cond) (Object, error) {
	if err := b.checkDated(ctx, key, c); err != nil {
		return Object{}, err
	}
	in := &awss3.PutObjectInput{
		Bucket: &b.cfg.Bucket, Key: &key, Body: body, ContentLength: &size, RequestPayer: b.payer(),
		ContentType: str(p.ContentType), CacheControl: str(p.CacheControl), ContentDisposition: str(p.ContentDisposition),
		ContentEncoding: str(p.ContentEncoding), ContentLanguage: str(p.ContentLanguage), Expires: p.sentExpires(), Metadata: p.sentMeta(),
		StorageClass: b.storageClass(&p), ACL: types.ObjectCannedACL(b.cfg.ACL), Tagging: str(p.Tags),
		IfMatch: ifMatch(c.IfMatch), IfNoneMatch: ifNoneMatch(c),
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = b.encryption(&p)
	var out *awss3.PutObjectOutput
	err := b.withSum("PutObject", key, body, sums, func(s Sum) (confirmed bool, err error) {
		in.ChecksumCRC64NVME, in.ChecksumCRC32C, in.ChecksumCRC32, in.ContentMD5 = s.headers()
		if out, err = b.api.Load().PutObject(withBody(ctx, body), in, unsigned); err != nil {
			return false, err
		}
		return s.confirmed(out.ChecksumCRC64NVME, out.ChecksumCRC32C, out.ChecksumCRC32), nil
	})
	if err != nil {
		return Object{}, b.explainReset(ctx, key, c, goneMeansChanged(err, c))
	}
	o, err := b.written(key, out.ETag, out.VersionId, size, out.ResultMetadata)
	o.Props.SSE, o.Props.SSEKMSKey, o.Props.BucketKey = string(out.ServerSideEncryption), val(out.SSEKMSKeyId), val(out.BucketKeyEnabled)
	return o, err
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

// Copy copies within the bucket, on the server, up to 5 GiB. The ETag of src, when
// not empty, must still be the source's; where it is not, the version with the ID of
// src is copied, when that is not empty. A nil replace keeps the properties of the
// source; tags are kept unless it has others. Many servers ignore c: see [Bucket.ProbeConditions].
func (b *Bucket) Copy(ctx context.Context, src Object, dstKey string, replace *Properties, c Cond) (Object, error) {
	if strings.HasSuffix(src.Key, "/") {
		return b.copyMarker(ctx, src, dstKey, replace, c)
	}
	version := ""
	o, err := b.copyObject(ctx, src, version, dstKey, replace, c)
	if src.sourceGone(err) {
		return b.copyObject(ctx, src, src.VersionID, dstKey, replace, c)
	}
	return o, err
}

// sourceGone tells whether a copy may have failed because the source is not the
// current version any more, which has an ID.
func (o *Object) sourceGone(err error) bool {
	return o.VersionID != "" && (errors.Is(err, ErrPrecondition) || errors.Is(err, ErrNotFound))
}

// copyMarker writes the marker of a directory anew: servers that keep it as a
// directory cannot copy it.
func (b *Bucket) copyMarker(ctx context.Context, src Object, dstKey string, replace *Properties, c Cond) (Object, error) {
	o, err := b.Head(ctx, src.Key)
	switch {
	case err != nil:
		return Object{}, err
	case o.Size > 0:
		return b.copyObject(ctx, src, "", dstKey, replace, c)
	case src.ETag != "" && !sameETag(o.ETag, src.ETag):
		return Object{}, &Error{Op: "CopyObject", Key: dstKey, Kind: ErrPrecondition, Detail: "the source changed"}
	}
	if replace == nil {
		replace = &o.Props
	}
	return b.Put(ctx, dstKey, strings.NewReader(""), 0, nil, *replace, c)
}

func (b *Bucket) copyObject(ctx context.Context, src Object, version, dstKey string, replace *Properties, c Cond) (Object, error) {
	if err := b.checkDated(ctx, dstKey, c); err != nil {
		return Object{}, err
	}
	kept := replace
	if kept == nil {
		kept = src.placement()
	}
	in := &awss3.CopyObjectInput{
		Bucket: &b.cfg.Bucket, Key: &dstKey, CopySource: aws.String(b.copySource(src.Key, version)), CopySourceIfMatch: ifMatch(src.ETag), CopySourceIfUnmodifiedSince: ifUnmodified(src.ETag),
		RequestPayer: b.payer(), StorageClass: b.storageClass(kept), ACL: types.ObjectCannedACL(b.cfg.ACL),
		IfMatch: ifMatch(c.IfMatch), IfNoneMatch: ifNoneMatch(c), MetadataDirective: types.MetadataDirectiveCopy,
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = b.encryption(kept)
	if p := replace; p != nil {
		in.MetadataDirective = types.MetadataDirectiveReplace
		in.ContentType, in.CacheControl, in.ContentDisposition = str(p.ContentType), str(p.CacheControl), str(p.ContentDisposition)
		in.ContentEncoding, in.ContentLanguage = str(p.ContentEncoding), str(p.ContentLanguage)
		in.Expires, in.Metadata = p.sentExpires(), p.sentMeta()
		if p.OwnTags {
			in.TaggingDirective, in.Tagging = types.TaggingDirectiveReplace, str(p.Tags)
		}
	}
	out, err := b.api.Load().CopyObject(ctx, in, b.patient)
	if err != nil {
		return Object{}, classify("CopyObject", dstKey, err)
	}
	if out.CopyObjectResult == nil {
		return Object{}, &Error{Op: "CopyObject", Key: dstKey, Kind: ErrServer, Detail: "empty answer"}
	}
	o, err := b.written(dstKey, out.CopyObjectResult.ETag, out.VersionId, 0, out.ResultMetadata)
	o.LastModified = val(out.CopyObjectResult.LastModified)
	o.Props.SSE, o.Props.SSEKMSKey, o.Props.BucketKey = string(out.ServerSideEncryption), val(out.SSEKMSKeyId), val(out.BucketKeyEnabled)
	return o, err
}

// Delete removes an object; one that does not exist is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.api.Load().DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.cfg.Bucket, Key: &key, RequestPayer: b.payer()}, b.patient)
	err = classify("DeleteObject", key, err)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// DeleteAll removes at most 1000 objects with one request, and returns the keys of those
// that the server did not remove. Some servers do not know the request.
func (b *Bucket) DeleteAll(ctx context.Context, keys []string) (left []string, err error) {
	del := &types.Delete{Quiet: aws.Bool(true)}
	for _, k := range keys {
		del.Objects = append(del.Objects, types.ObjectIdentifier{Key: &k})
	}
	out, err := b.api.Load().DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: &b.cfg.Bucket, Delete: del, RequestPayer: b.payer()}, b.patient)
	if err != nil {
		return keys, classify("DeleteObjects", keys[0], err)
	}
	for _, e := range out.Errors {
		left = append(left, val(e.Key))
	}
	return left, nil
}

// written is the Object that a successful write made.
func (b *Bucket) written(key string, etag, versionID *string, size int64, answer middleware.Metadata) (Object, error) {
	o := Object{
		Key: key, ETag: quoted(etag), VersionID: version(versionID), Size: size,
		StorageClass: b.cfg.StorageClass, Date: serverTime(answer),
	}
	if o.ETag == "" {
		return o, &Error{Op: "PutObject", Key: key, Kind: ErrServer, Detail: "the answer has no ETag"}
	}
	return o, nil
}

// serverTime is the server's clock at its answer; zero when it did not say.
func serverTime(answer middleware.Metadata) time.Time {
	at, _ := awsmiddleware.GetServerTime(answer)
	return at
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
// sending it, and its checksum protects it.
func unsigned(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}
