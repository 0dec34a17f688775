package s3

import (
	"context"
	"errors"
	"io"
)

var errStub = errors.New("not built yet")

// Bucket is one bucket.
type Bucket struct{ cfg Config }

func Open(ctx context.Context, c Config) (*Bucket, error) { return nil, errStub }
func (b *Bucket) Name() string                            { return b.cfg.Bucket }
func (b *Bucket) Endpoint() string                        { return b.cfg.Endpoint }
func (b *Bucket) Check(ctx context.Context) error         { return errStub }
func (b *Bucket) Head(ctx context.Context, key string) (Object, error) {
	return Object{}, errStub
}
func (b *Bucket) GetRange(ctx context.Context, key, etag, versionID string, off, n int64) (io.ReadCloser, Object, error) {
	return nil, Object{}, errStub
}
func (b *Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, crc *uint64, p Properties, c Cond) (Object, error) {
	return Object{}, errStub
}
func (b *Bucket) CreateUpload(ctx context.Context, key string, p Properties) (uploadID string, err error) {
	return "", errStub
}
func (b *Bucket) UploadPart(ctx context.Context, key, uploadID string, n int32, body io.ReadSeeker, size int64, crc *uint64) (Part, error) {
	return Part{}, errStub
}
func (b *Bucket) UploadPartCopy(ctx context.Context, key, uploadID string, n int32, srcKey, srcETag string, off, size int64) (Part, error) {
	return Part{}, errStub
}
func (b *Bucket) ListParts(ctx context.Context, key, uploadID string) ([]Part, error) {
	return nil, errStub
}
func (b *Bucket) Complete(ctx context.Context, key, uploadID string, parts []Part, c Cond) (Object, error) {
	return Object{}, errStub
}
func (b *Bucket) Abort(ctx context.Context, key, uploadID string) error { return errStub }
func (b *Bucket) ListUploads(ctx context.Context, prefix string) ([]PendingUpload, error) {
	return nil, errStub
}
func (b *Bucket) Copy(ctx context.Context, srcKey, srcETag, dstKey string, replace *Properties, c Cond) (Object, error) {
	return Object{}, errStub
}
func (b *Bucket) Delete(ctx context.Context, key string) error { return errStub }
func (b *Bucket) List(ctx context.Context, prefix, delimiter, startAfter string, token string, max int) (Page, error) {
	return Page{}, errStub
}
func (b *Bucket) Stats() Stats { return Stats{} }

// Stats counts what was sent.
type Stats struct {
	Requests map[string]int64
	Up, Down int64
	Errors   int64
}

// Remedy says in one line what to do.
func Remedy(err error) string { return "" }
