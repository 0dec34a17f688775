package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	checkWait    = 10 * time.Second
	checkWaitMin = 4 * time.Second
)

// Check finds out whether the bucket can be listed, within ten seconds. It
// adopts the bucket's region when nobody has chosen one, so call it before
// anything else.
func (b *Bucket) Check(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, max(checkWait-b.credsTime, checkWaitMin))
	defer cancel()
	err := b.probe(limited)
	var e *Error
	if errors.As(err, &e) && errors.Is(err, ErrWrongRegion) && e.Region != "" && !b.regionGiven && b.cfg.Endpoint == "" {
		b.aws.Region = e.Region
		b.regionGiven = true
		b.endpoint = fmt.Sprintf("https://s3.%s.amazonaws.com", e.Region)
		b.connect()
		err = b.probe(limited)
	}
	if status := int(b.http.count.trouble.Load()); err != nil && limited.Err() != nil && status != 0 {
		return &Error{Op: "HeadBucket", Kind: ErrServer, Status: status, Err: limited.Err(), Detail: http.StatusText(status) + ", again and again"}
	}
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return &Error{Op: "HeadBucket", Kind: ErrTimeout, Err: context.DeadlineExceeded,
			Detail: fmt.Sprintf("no answer from %s in 10 s", b.endpoint)}
	}
	return b.explainAnonymous(err)
}

// probe asks with HEAD and, beside it, with a listing, since the empty answer to HEAD leaves
// open what is wrong. That leaves two connections to whoever opens the first file.
func (b *Bucket) probe(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listed := make(chan error, 1)
	go func() {
		_, err := b.List(ctx, b.cfg.Prefix, "", "", "", 1)
		listed <- err
	}()
	_, err := b.api.Load().HeadBucket(ctx, &awss3.HeadBucketInput{Bucket: &b.cfg.Bucket})
	if err != nil {
		err = classify("HeadBucket", "", err)
		var e *Error
		if Retryable(err) || errors.Is(err, context.Canceled) || errors.As(err, &e) && e.Region != "" {
			cancel()
			<-listed
			return err
		}
	}
	return <-listed
}

// explainAnonymous tells "denied because there are no credentials" apart.
func (b *Bucket) explainAnonymous(err error) error {
	if b.credsMissing == nil {
		return err
	}
	if err == nil {
		b.log.Info("no credentials found: the bucket is read without", "bucket", b.cfg.Bucket)
		return nil
	}
	if errors.Is(err, ErrDenied) || errors.Is(err, ErrCredentials) || errors.Is(err, ErrInvalid) {
		return &Error{Op: "HeadBucket", Kind: ErrCredentials, Err: b.credsMissing,
			Detail: "no credentials found, and the bucket does not answer without"}
	}
	return err
}

// str is the SDK's optional string: nil when empty.
func str(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}
