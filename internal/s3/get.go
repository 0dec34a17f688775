package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// GetRange asks for n bytes at off; off + n must not pass the end of the object
// (n may be 0 only for an empty object). With an etag, it is sent as If-Match,
// and the answer is compared: ErrPrecondition when the server says that the
// object changed, ErrChanged when only its answer shows it.
//
// The body is the connection itself. It may break, then Read returns an *Error
// and the caller asks again for the rest; it may stall, then the caller closes
// it. Close must be called; before the end of the body it costs the connection.
func (b *Bucket) GetRange(ctx context.Context, key, etag, versionID string, off, n int64) (io.ReadCloser, Object, error) {
	ask := ""
	if n > 0 {
		ask = byteRange(off, n)
	}
	return b.get(ctx, key, etag, versionID, ask, off, n)
}

// Get is GetRange for a whole object of size bytes. The answer may name its checksum, which
// the caller compares: the body is not checked.
func (b *Bucket) Get(ctx context.Context, key, etag, versionID string, size int64) (io.ReadCloser, Object, error) {
	return b.get(ctx, key, etag, versionID, "", 0, size, withSums)
}

// withSums has the server name the checksum that it has of an object. Said by the input
// instead, the SDK would take it of the body as well, which is slow.
func withSums(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], smithyhttp.SetHeaderValue("X-Amz-Checksum-Mode", "ENABLED"))
}

func (b *Bucket) get(ctx context.Context, key, etag, versionID, ask string, off, n int64, opts ...func(*awss3.Options)) (io.ReadCloser, Object, error) {
	in := &awss3.GetObjectInput{
		Bucket: &b.cfg.Bucket, Key: &key, IfMatch: ifMatch(etag), VersionId: str(versionID), Range: str(ask), RequestPayer: b.payer(),
	}
	out, r, err := b.getObject(ctx, in, opts...)
	if err != nil {
		return nil, Object{}, notInRange(classify("GetObject", key, err), etag)
	}
	whole := val(out.ContentLength)
	if _, _, total, ok := parseContentRange(val(out.ContentRange)); ok {
		whole = total
	}
	o := Object{
		Key: key, ETag: etagOf(key, out.ETag, out.LastModified, whole), VersionID: version(out.VersionId), Size: val(out.ContentLength),
		LastModified: val(out.LastModified), Date: serverTime(out.ResultMetadata), StorageClass: string(out.StorageClass),
		Props: properties(out.ContentType, out.CacheControl, out.ContentDisposition, out.ContentEncoding,
			out.ContentLanguage, out.ExpiresString, out.Metadata, out.StorageClass),
		HasProps: true,
	}
	o.Sum, _ = objectSum(out.ChecksumType, out.ETag, out.ChecksumCRC64NVME, out.ChecksumCRC32C, out.ChecksumCRC32)
	if e := checkRange(&o, out, etag, off, n); e != nil {
		out.Body.Close()
		return nil, Object{}, e
	}
	return r, o, nil
}

// getObject sends the request, and returns the body beside its answer.
func (b *Bucket) getObject(ctx context.Context, in *awss3.GetObjectInput, opts ...func(*awss3.Options)) (*awss3.GetObjectOutput, *body, error) {
	r := &body{key: *in.Key, ctx: ctx, count: &b.http.count.down}
	out, err := b.api.Load().GetObject(withGather(ctx, &r.gather), in, opts...)
	if err != nil {
		return nil, nil, err
	}
	r.from, r.left = out.Body, val(out.ContentLength)
	return out, r, nil
}

// checkRange makes sure that the answer is the range that was asked, of the
// version that was asked, and fills in the size of the object.
func checkRange(o *Object, out *awss3.GetObjectOutput, etag string, off, n int64) error {
	failed := func(kind error, format string, args ...any) error {
		return &Error{Op: "GetObject", Key: o.Key, Kind: kind, Detail: fmt.Sprintf(format, args...)}
	}
	if etag != "" && !sameETag(etag, o.ETag) {
		return failed(ErrChanged, "ETag is %s, not %s", o.ETag, etag)
	}
	if n <= 0 {
		return nil
	}
	if out.ContentRange == nil {
		// A server may answer with the whole object, when the range is all of it.
		switch {
		case off == 0 && o.Size == n:
			return nil
		case off == 0 && etag == "" && o.Size < n:
			return nil
		}
		return failed(ErrUnsupported, "the server ignores ranges")
	}
	start, end, total, ok := parseContentRange(*out.ContentRange)
	if !ok || start != off {
		return failed(ErrServer, "asked for bytes at %d, got %q", off, *out.ContentRange)
	}
	o.Size = total
	if end+1 == off+n {
		return nil
	}
	if etag != "" && end+1 == total {
		return failed(ErrChanged, "object has %d bytes, less than %d", total, off+n)
	}
	if end+1 != total {
		return failed(ErrServer, "asked for %d bytes at %d, got %q", n, off, *out.ContentRange)
	}
	return nil
}

// parseContentRange reads "bytes 0-99/1000".
func parseContentRange(s string) (start, end, total int64, ok bool) {
	span, size, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	if !ok {
		return 0, 0, 0, false
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, 0, false
	}
	var errs [3]error
	start, errs[0] = strconv.ParseInt(first, 10, 64)
	end, errs[1] = strconv.ParseInt(last, 10, 64)
	total, errs[2] = strconv.ParseInt(size, 10, 64)
	return start, end, total, errors.Join(errs[:]...) == nil
}

// notInRange: the range is beyond the end. Who pinned a version knew its size,
// so the object is another one.
func notInRange(err error, etag string) error {
	var e *Error
	if etag != "" && errors.As(err, &e) && e.Status == http.StatusRequestedRangeNotSatisfiable {
		e.Kind = ErrChanged
	}
	return err
}

// body is the bytes of a GET, counted, with classified errors.
type body struct {
	from  io.ReadCloser
	key   string
	ctx   context.Context // of the request: tells a cancelled body from a broken one
	count *atomic.Int64

	left   int64 // bytes that were not read
	gather gather
}

func (r *body) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.count.Add(int64(n))
	r.left -= int64(n)
	r.gather.took(n, r.left)
	if err == nil || err == io.EOF {
		return n, err
	}
	if r.ctx.Err() != nil {
		err = r.ctx.Err()
	}
	err = classify("GetObject", r.key, err)
	var e *Error
	if errors.As(err, &e) && e.Kind == ErrInvalid {
		e.Kind = ErrUnavailable // whatever it is, the connection is at fault
	}
	return n, err
}

func (r *body) Close() error { return r.from.Close() }
