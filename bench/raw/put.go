package raw

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// Upload sends size bytes in parallel parts. The bytes are those of data, as
// often as it takes.
func (c *Client) Upload(ctx context.Context, key string, size int64, data []byte, parallel int) error {
	if size <= PartSize {
		return c.Put(ctx, key, data[:size])
	}
	return c.upload(ctx, key, size, parallel, func(_, n int64) io.ReadSeeker { return bytes.NewReader(data[:n]) })
}

// UploadFrom sends the first size bytes of a file, which is no limit: it reads
// a disk.
func (c *Client) UploadFrom(ctx context.Context, key string, from io.ReaderAt, size int64, parallel int) error {
	return c.upload(ctx, key, size, parallel, func(off, n int64) io.ReadSeeker { return io.NewSectionReader(from, off, n) })
}

func (c *Client) upload(ctx context.Context, key string, size int64, parallel int, body func(off, n int64) io.ReadSeeker) error {
	made, err := c.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: c.bucket, Key: &key})
	if err != nil {
		return fmt.Errorf("create an upload of %s: %w", key, err)
	}
	parts := make([]types.CompletedPart, (size+PartSize-1)/PartSize)
	group, partCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range parts {
		group.Go(func() error {
			n := min(PartSize, size-int64(i)*PartSize)
			number := aws.Int32(int32(i + 1))
			out, err := c.api.UploadPart(partCtx, &s3.UploadPartInput{
				Bucket: c.bucket, Key: &key, UploadId: made.UploadId, PartNumber: number,
				Body: body(int64(i)*PartSize, n), ContentLength: &n,
			}, unsigned)
			if err != nil {
				return fmt.Errorf("upload part %d of %s: %w", i+1, key, err)
			}
			parts[i] = types.CompletedPart{ETag: out.ETag, PartNumber: number}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err = c.api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: c.bucket, Key: &key, UploadId: made.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		return fmt.Errorf("complete %s: %w", key, err)
	}
	return nil
}

// Put sends an object with one request.
func (c *Client) Put(ctx context.Context, key string, data []byte) error {
	n := int64(len(data))
	_, err := c.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: c.bucket, Key: &key, Body: bytes.NewReader(data), ContentLength: &n,
	}, unsigned)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// PutAll sends the same bytes under many keys.
func (c *Client) PutAll(ctx context.Context, keys []string, data []byte, parallel int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, key := range keys {
		group.Go(func() error { return c.Put(ctx, key, data) })
	}
	return group.Wait()
}
