package raw

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"
)

// Download reads size bytes of an object in parallel ranges and throws them
// away.
func (c *Client) Download(ctx context.Context, key string, size int64, parallel int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for off := int64(0); off < size; off += PartSize {
		group.Go(func() error {
			body, err := c.open(ctx, key, off, min(PartSize, size-off))
			if err != nil {
				return err
			}
			defer body.Close()
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, make([]byte, buffer))
			if err != nil || n != min(PartSize, size-off) {
				return fmt.Errorf("get %s at %d: %d bytes, %w", key, off, n, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (c *Client) open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	out, err := c.api.GetObject(ctx, &s3.GetObjectInput{
		Bucket: c.bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)),
	})
	if err != nil {
		return nil, fmt.Errorf("get %s at %d: %w", key, off, err)
	}
	return out.Body, nil
}

// Object reads an object by ranged requests, one for each read.
type Object struct {
	client *Client
	ctx    context.Context
	key    string
}

// Object is an [io.ReaderAt]; ctx ends its reads.
func (c *Client) Object(ctx context.Context, key string) *Object { return &Object{c, ctx, key} }

// ReadAt fills p, which must end within the object.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	body, err := o.client.open(o.ctx, o.key, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := io.ReadFull(body, p)
	if err != nil {
		return n, fmt.Errorf("get %s at %d: %w", o.key, off, err)
	}
	// A connection is kept only after its end was seen.
	_, err = body.Read(make([]byte, 1))
	if err != io.EOF {
		return n, fmt.Errorf("get %s at %d: more than asked for (%w)", o.key, off, err)
	}
	return n, nil
}

// Sum is the SHA-256 of an object.
func (c *Client) Sum(ctx context.Context, key string) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	out, err := c.api.GetObject(ctx, &s3.GetObjectInput{Bucket: c.bucket, Key: &key})
	if err != nil {
		return sum, fmt.Errorf("get %s: %w", key, err)
	}
	defer out.Body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, out.Body); err != nil {
		return sum, fmt.Errorf("get %s: %w", key, err)
	}
	h.Sum(sum[:0])
	return sum, nil
}

// Totals lists a prefix, page by page, and adds up what is there.
func (c *Client) Totals(ctx context.Context, prefix string) (objects int, bytes int64, err error) {
	pages := s3.NewListObjectsV2Paginator(c.api, &s3.ListObjectsV2Input{Bucket: c.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, 0, fmt.Errorf("list %s: %w", prefix, err)
		}
		objects += len(page.Contents)
		for _, o := range page.Contents {
			bytes += aws.ToInt64(o.Size)
		}
	}
	return objects, bytes, nil
}
