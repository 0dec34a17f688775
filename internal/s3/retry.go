package s3

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	maxAttempts    = 8  // while the server answers, and says that it could not
	maxThrottled   = 22 // of a patient request, while the server says that requests come too fast: about a minute
	maxOfPart      = 2  // of a part: each costs the link all of its bytes
	maxUnanswered  = 3  // while it does not, or what comes cannot be read: who is offline has to know soon
	brokenDelay    = 100 * time.Millisecond
	throttleDelay  = 500 * time.Millisecond
	unansweredStep = 4 // factor from one pause to the next
	longestDelay   = 2 * time.Second
)

// patient is an option of requests that somebody waits for who has no patience of his own: what
// lists, looks at, renames and deletes a large directory takes many, and one that is refused for a
// while is not to fail them all. It waits for a server that asks for that, and no longer than
// others for one that is down.
func (b *Bucket) patient(o *awss3.Options) { o.Retryer = b.retryer(maxThrottled) }

// brief is an option of requests that carry a part: who sends those repeats them, after others
// have had their turn.
func (b *Bucket) brief(o *awss3.Options) { o.Retryer = b.retryer(maxOfPart) }

// retryer repeats a request a few times: with one request in five refused, three
// tries would fail every hundredth call of a program. There is no token bucket: whoever
// asks (the publisher, the fetcher) has a limit and a patience of its own, and
// a shared bucket would let one bad part starve a healthy one.
func (b *Bucket) retryer(attempts int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, err error) (time.Duration, error) {
			if attempt >= maxAttempts && !throttled(err) || attempt > 1 && credentialsRefused(err) {
				return 0, err
			}
			return backoff(attempt, err)
		})
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(neverRetry)}, o.Retryables...)
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(retryGarbage), retry.IsErrorRetryableFunc(b.retryRefused), retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
	})
}

// throttled tells whether the server has said that requests come too fast. A 503 alone may be of
// something in front of a server that is down; what answers a HEAD has no room for the code, and
// the mark of the store itself has to do.
func throttled(err error) bool {
	var code smithy.APIError
	if errors.As(err, &code) && kindOfCode[code.ErrorCode()] == ErrThrottled {
		return true
	}
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.Response == nil {
		return false
	}
	r := answer.Response.Response
	return r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("X-Amz-Request-Id") != "" &&
		r.Request != nil && r.Request.Method == http.MethodHead
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
