package s3

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	maxAttempts    = 8 // while the server answers, and says that it could not
	maxUnanswered  = 3 // while it does not, or what comes cannot be read: who is offline has to know soon
	brokenDelay    = 100 * time.Millisecond
	throttleDelay  = 500 * time.Millisecond
	unansweredStep = 4 // factor from one pause to the next
	longestDelay   = 2 * time.Second
)

// newRetryer repeats a request a few times: with one request in five refused, three
// tries would fail every hundredth call of a program. There is no token bucket: whoever
// asks (the publisher, the fetcher) has a limit and a patience of its own, and
// a shared bucket would let one bad part starve a healthy one.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(backoff)
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(neverRetry)}, o.Retryables...)
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(retryGarbage), retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
	})
}

// backoff is short for broken connections, which a fresh one mends, and longer
// for a server that has too much to do. attempt counts from 1. An error ends the tries.
func backoff(attempt int, err error) (time.Duration, error) {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode() < http.StatusMultipleChoices {
		if attempt >= maxUnanswered {
			return 0, err
		}
		delay := brokenDelay
		for range attempt - 1 {
			delay *= unansweredStep
		}
		return delay + rand.N(delay), nil
	}
	delay := brokenDelay
	switch answer.HTTPStatusCode() {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		delay = throttleDelay
	}
	delay = min(delay<<max(attempt-1, 0), longestDelay)
	return delay + rand.N(delay), nil
}

// neverRetry knows the errors of a connection that stay what they are.
func neverRetry(err error) aws.Ternary {
	if isCertificateError(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// retryGarbage repeats a request whose answer says that it succeeded, and cannot be read:
// mostly the connection broke within it.
func retryGarbage(err error) aws.Ternary {
	var garbage *smithy.DeserializationError
	if errors.As(err, &garbage) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}
