package raw

import (
	"context"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// Keys lists the keys of a prefix, one page after the other; with a delimiter
// only those that do not go on behind it.
func (c *Client) Keys(ctx context.Context, prefix, delimiter string) ([]string, error) {
	in := s3.ListObjectsV2Input{Bucket: c.bucket, Prefix: &prefix}
	if delimiter != "" {
		in.Delimiter = &delimiter
	}
	var keys []string
	for pages := s3.NewListObjectsV2Paginator(c.api, &in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys, nil
}

// HeadAll asks for what many objects carry.
func (c *Client) HeadAll(ctx context.Context, keys []string, parallel int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, key := range keys {
		group.Go(func() error {
			size, err := c.Size(ctx, key)
			if err == nil && size < 0 {
				err = fmt.Errorf("head %s: there is no such object", key)
			}
			return err
		})
	}
	return group.Wait()
}

// deletesAtOnce is the most keys that one request deletes.
const deletesAtOnce = 1000

// MoveAll lets the server copy what lies under one prefix to another one, and
// deletes it there.
func (c *Client) MoveAll(ctx context.Context, from, to string, parallel int) error {
	keys, err := c.Keys(ctx, from, "")
	if err != nil {
		return err
	}
	group, copying := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, key := range keys {
		group.Go(func() error {
			source := url.PathEscape(*c.bucket + "/" + key)
			_, err := c.api.CopyObject(copying, &s3.CopyObjectInput{Bucket: c.bucket, Key: aws.String(to + key[len(from):]), CopySource: &source})
			if err != nil {
				return fmt.Errorf("copy %s: %w", key, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for len(keys) > 0 {
		n := min(len(keys), deletesAtOnce)
		if err := c.deleteKeys(ctx, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// deleteKeys removes objects with one request.
func (c *Client) deleteKeys(ctx context.Context, keys []string) error {
	del := types.Delete{Quiet: aws.Bool(true)}
	for _, key := range keys {
		del.Objects = append(del.Objects, types.ObjectIdentifier{Key: aws.String(key)})
	}
	out, err := c.api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: c.bucket, Delete: &del})
	if err != nil {
		return fmt.Errorf("delete %s: %w", keys[0], err)
	}
	if len(out.Errors) > 0 {
		return fmt.Errorf("delete %s: %s", aws.ToString(out.Errors[0].Key), aws.ToString(out.Errors[0].Message))
	}
	return nil
}
