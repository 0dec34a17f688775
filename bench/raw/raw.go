// Package raw is the limit that mounts are measured against: the AWS SDK with
// nothing in its way. It sends from memory and throws away what it reads, in
// parallel, over connections that are kept, with unsigned payloads and no
// checksums. It is also the witness that looks into the bucket.
//
// It never touches a disk, and retries nothing: a benchmark that needed a
// retry is void.
package raw

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	// PartSize and Parallel are what gave the most on the links measured here:
	// more connections than fill the link, parts that outlast many round trips.
	PartSize = 8 << 20
	Parallel = 16

	idle   = 512
	buffer = 256 << 10
)

// Store says how to reach a bucket.
type Store struct {
	Endpoint, Bucket     string
	AccessKey, SecretKey string
}

// Client is one client of one bucket. Its methods may be called from many
// goroutines.
type Client struct {
	api    *s3.Client
	bucket *string
	http   *http.Transport
}

// New makes a client. It sends nothing.
func New(s Store) *Client {
	t := &http.Transport{
		MaxIdleConnsPerHost: idle, DisableCompression: true,
		ReadBufferSize: buffer, WriteBufferSize: buffer,
	}
	api := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &s.Endpoint, UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		HTTPClient:                 &http.Client{Transport: t},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		RetryMaxAttempts:           1,

		DisableLogOutputChecksumValidationSkipped: true,
	})
	return &Client{api: api, bucket: &s.Bucket, http: t}
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func unsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

// CreateBucket makes the bucket, and waits until a server that has just been
// started takes the request.
func (c *Client) CreateBucket(ctx context.Context) error {
	for {
		_, err := c.api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: c.bucket})
		var owned *types.BucketAlreadyOwnedByYou
		if err == nil || errors.As(err, &owned) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("create bucket %s: %w", *c.bucket, errors.Join(ctx.Err(), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Size is the size of an object, or -1 when there is none.
func (c *Client) Size(ctx context.Context, key string) (int64, error) {
	head, err := c.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: c.bucket, Key: &key})
	var missing *types.NotFound
	if errors.As(err, &missing) {
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("head %s: %w", key, err)
	}
	return aws.ToInt64(head.ContentLength), nil
}

// Delete removes all keys under a prefix.
func (c *Client) Delete(ctx context.Context, prefix string) error {
	for {
		page, err := c.api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: c.bucket, Prefix: &prefix})
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		if len(page.Contents) == 0 {
			return nil
		}
		keys := make([]string, len(page.Contents))
		for i, o := range page.Contents {
			keys[i] = aws.ToString(o.Key)
		}
		if err := c.deleteKeys(ctx, keys); err != nil {
			return err
		}
	}
}
