package s3

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// ListParts gives all parts of an upload that the server has.
func (b *Bucket) ListParts(ctx context.Context, key, uploadID string) ([]Part, error) {
	var parts []Part
	in := &awss3.ListPartsInput{Bucket: &b.cfg.Bucket, Key: &key, UploadId: &uploadID, RequestPayer: b.payer()}
	for {
		out, err := b.api.Load().ListParts(ctx, in)
		if err != nil {
			return nil, ofUpload(classify("ListParts", key, err))
		}
		for _, p := range out.Parts {
			parts = append(parts, Part{
				Number: val(p.PartNumber), ETag: quoted(p.ETag), Size: val(p.Size),
				Sum: saidSum(p.ChecksumCRC64NVME, p.ChecksumCRC32C, p.ChecksumCRC32),
			})
		}
		said := out.ChecksumAlgorithm
		if said == "" && len(parts) > 0 && parts[0].Sum.Known() {
			said, _ = parts[0].Sum.of.declared()
		}
		b.noteDeclared(uploadID, said, out.ChecksumType)
		if !val(out.IsTruncated) {
			return parts, nil
		}
		if len(out.Parts) == 0 || val(out.NextPartNumberMarker) == val(in.PartNumberMarker) {
			return nil, &Error{Op: "ListParts", Key: key, Kind: ErrServer, Detail: "the listing does not advance"}
		}
		in.PartNumberMarker = out.NextPartNumberMarker
	}
}

// UploadSize is what the server has of an upload.
type UploadSize struct {
	Parts int
	Bytes int64
	Last  time.Time // when the newest part came; zero without parts
}

// UploadSize asks how much of an upload the server has.
func (b *Bucket) UploadSize(ctx context.Context, key, uploadID string) (UploadSize, error) {
	var size UploadSize
	pages := awss3.NewListPartsPaginator(b.api.Load(), &awss3.ListPartsInput{
		Bucket: &b.cfg.Bucket, Key: &key, UploadId: &uploadID, RequestPayer: b.payer(),
	}, func(o *awss3.ListPartsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return size, ofUpload(classify("ListParts", key, err))
		}
		for _, p := range out.Parts {
			size.Parts++
			size.Bytes += val(p.Size)
			if at := val(p.LastModified); at.After(size.Last) {
				size.Last = at
			}
		}
	}
	return size, nil
}

// ListUploads gives all uploads below prefix that nobody completed or aborted.
// Some servers list them only for a prefix that is a whole key.
func (b *Bucket) ListUploads(ctx context.Context, prefix string) ([]PendingUpload, error) {
	var uploads []PendingUpload
	in := &awss3.ListMultipartUploadsInput{
		Bucket: &b.cfg.Bucket, Prefix: str(prefix), EncodingType: types.EncodingTypeUrl, RequestPayer: b.payer(),
	}
	for {
		out, err := b.api.Load().ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, classify("ListMultipartUploads", prefix, err)
		}
		decode := decoder(out.EncodingType)
		for _, u := range out.Uploads {
			uploads = append(uploads, PendingUpload{Key: decode(val(u.Key)), ID: val(u.UploadId), Initiated: val(u.Initiated)})
		}
		if !val(out.IsTruncated) {
			return uploads, nil
		}
		if len(out.Uploads) == 0 {
			return nil, &Error{Op: "ListMultipartUploads", Key: prefix, Kind: ErrServer, Detail: "the listing does not advance"}
		}
		in.KeyMarker, in.UploadIdMarker = aws.String(decode(val(out.NextKeyMarker))), out.NextUploadIdMarker
	}
}

func byteRange(off, n int64) string { return fmt.Sprintf("bytes=%d-%d", off, off+n-1) }
