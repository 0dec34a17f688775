package s3

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"
)

const (
	credentialsWait = 5 * time.Second
	filesPause      = time.Second      // between two looks at the files that hold credentials
	renewPause      = 10 * time.Second // after the chain was asked again, and had nothing else
)

// findCredentials asks the chain once, so that "there are none" is known now.
func (b *Bucket) findCredentials(ctx context.Context) error {
	if b.cfg.Anonymous {
		b.aws.Credentials = aws.AnonymousCredentials{}
		return nil
	}
	if b.cfg.AccessKey != "" {
		b.aws.Credentials = credentials.NewStaticCredentialsProvider(b.cfg.AccessKey, b.cfg.SecretKey, b.cfg.SessionToken)
		return nil
	}
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, credentialsWait)
	defer cancel()
	b.creds = newRenewable(b.aws.Credentials, func(ctx context.Context) (aws.CredentialsProvider, error) {
		c, err := b.chain(ctx)
		return c.Credentials, err
	})
	_, err := b.creds.Retrieve(limited)
	b.credsTime = time.Since(start)
	b.aws.Credentials = b.creds
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return classify("Open", "", ctx.Err())
	}
	b.credsMissing, b.creds = err, nil
	b.aws.Credentials = aws.AnonymousCredentials{}
	return nil
}

// renewable asks the chain again when a file that holds credentials has changed, or when the
// server takes those no more that the chain holds for good: others write keys that end after an
// hour into the file of their profile, and a mount outlives them.
type renewable struct {
	load func(context.Context) (aws.CredentialsProvider, error)

	turn    chan struct{} // holds one value while nobody is at the fields below
	now     aws.CredentialsProvider
	files   string    // as they were when now was loaded
	looked  time.Time // at the files
	refused bool
	asked   time.Time // the chain, in vain
}

func newRenewable(now aws.CredentialsProvider, load func(context.Context) (aws.CredentialsProvider, error)) *renewable {
	r := &renewable{load: load, turn: make(chan struct{}, 1), now: now, files: credentialFiles()}
	r.turn <- struct{}{}
	return r
}

// Retrieve gives the credentials for one request. Its errors are of type credentialsError.
func (r *renewable) Retrieve(ctx context.Context) (aws.Credentials, error) {
	now, err := r.provider(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	if now == nil {
		return aws.Credentials{}, &credentialsError{errors.New("no credential provider")}
	}
	got, err := now.Retrieve(ctx)
	if err != nil {
		return got, &credentialsError{err}
	}
	return got, nil
}

// provider is the present one, renewed where that is due. Requests wait for it then: what they
// have would probably be refused.
func (r *renewable) provider(ctx context.Context) (aws.CredentialsProvider, error) {
	select {
	case <-r.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { r.turn <- struct{}{} }()
	if !r.refused && time.Since(r.looked) < filesPause {
		return r.now, nil
	}
	files := credentialFiles()
	r.looked = time.Now()
	if !r.refused && files == r.files || time.Since(r.asked) < renewPause {
		return r.now, nil
	}
	r.refused, r.asked = false, time.Now()
	limited, cancel := context.WithTimeout(ctx, credentialsWait)
	defer cancel()
	next, err := r.load(limited)
	if err != nil || next == nil {
		return r.now, nil // a file that is half written: the next look finds the rest
	}
	if _, err := next.Retrieve(limited); err != nil {
		return r.now, nil
	}
	if files != r.files {
		r.asked = time.Time{}
	}
	r.now, r.files = next, files
	return r.now, nil
}

// refuse notes that the server has not accepted the credentials.
func (r *renewable) refuse() {
	<-r.turn
	r.refused = true
	r.turn <- struct{}{}
}

// refusedCodes are those of credentials that were good once, or whose key is not known yet.
var refusedCodes = map[string]bool{"ExpiredToken": true, "InvalidToken": true, "TokenRefreshRequired": true, "InvalidAccessKeyId": true}

// retryRefused repeats a request whose credentials were not accepted: there may be others.
func (b *Bucket) retryRefused(err error) aws.Ternary {
	if b.creds == nil || !credentialsRefused(err) {
		return aws.UnknownTernary
	}
	b.creds.refuse()
	return aws.TrueTernary
}

func credentialsRefused(err error) bool {
	var code smithy.APIError
	return errors.As(err, &code) && refusedCodes[code.ErrorCode()]
}

// credentialFiles tells one state of the files that hold credentials from another.
func credentialFiles() (state string) {
	for _, f := range [][2]string{
		{"AWS_SHARED_CREDENTIALS_FILE", config.DefaultSharedCredentialsFilename()},
		{"AWS_CONFIG_FILE", config.DefaultSharedConfigFilename()},
	} {
		name := f[1]
		if given := os.Getenv(f[0]); given != "" {
			name = given
		}
		if info, err := os.Stat(name); err == nil {
			state += fmt.Sprintf("%d %d ", info.Size(), info.ModTime().UnixNano())
		}
	}
	return state
}

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }
