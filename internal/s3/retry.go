package s3

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	maxAttempts   = 3
	brokenDelay   = 100 * time.Millisecond // before the second try; four times that before the third
	throttleDelay = 500 * time.Millisecond
)

// newRetryer repeats a request a few times. There is no token bucket: whoever
// asks (the publisher, the fetcher) has a limit and a patience of its own, and
// a shared bucket would let one bad part starve a healthy one.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(backoff)
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(neverRetry)}, o.Retryables...)
		o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
	})
}

// backoff is short for broken connections, which a fresh one mends, and longer
// for a server that has too much to do. attempt counts from 1.
func backoff(attempt int, err error) (time.Duration, error) {
	delay := brokenDelay
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		switch answer.HTTPStatusCode() {
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			delay = throttleDelay
		}
	}
	delay <<= 2 * min(max(attempt-1, 0), 4)
	return delay + rand.N(delay), nil
}

// neverRetry knows the errors of a connection that stay what they are.
func neverRetry(err error) aws.Ternary {
	if isCertificateError(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}
