package s3

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

const defaultRegion = "us-east-1"

// Bucket is one bucket. Its methods may be called from many goroutines.
type Bucket struct {
	cfg      Config
	aws      aws.Config
	endpoint string // with scheme; never empty
	log      *slog.Logger
	http     *client

	api atomic.Pointer[awss3.Client] // replaced only by Check

	creds        *renewable    // of the chain; nil: from elsewhere
	regionGiven  bool          // somebody chose the region: a wrong one is an error
	credsMissing error         // the chain found none: requests go unsigned
	credsTime    time.Duration // what the chain took, which Check has less
	sums         atomic.Int32  // algorithm that the server knows
	declaredSums sync.Map      // upload ID -> declared
}

// Open builds the client. It sends nothing, except what the credential chain
// needs (SSO, web identity, instance metadata). When no credentials exist it
// goes on without; [Bucket.Check] tells whether that is enough.
func Open(ctx context.Context, c Config) (*Bucket, error) {
	b := &Bucket{cfg: c, log: c.Log}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if c.Bucket == "" {
		return nil, &Error{Op: "Open", Kind: ErrInvalid, Detail: "the bucket has no name"}
	}
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	if err := b.resolveEndpoint(); err != nil {
		return nil, err
	}
	if err := b.findCredentials(ctx); err != nil {
		return nil, err
	}
	b.http = newClient(b.aws.HTTPClient, c)
	b.connect()
	return b, nil
}

// Name is the name of the bucket.
func (b *Bucket) Name() string { return b.cfg.Bucket }

// Endpoint is the URL of the service, without the bucket.
func (b *Bucket) Endpoint() string { return b.endpoint }

// Region is the region requests are signed for.
func (b *Bucket) Region() string { return b.aws.Region }

// Anonymous says that requests go unsigned.
func (b *Bucket) Anonymous() bool { return b.cfg.Anonymous || b.credsMissing != nil }

// Expect says that somebody is about to read: there are connections then, as far as the
// server lets us make them within a round trip. It returns at once.
func (b *Bucket) Expect() { b.http.spare.expect() }

// Close ends the idle connections. Requests in flight go on.
func (b *Bucket) Close() { b.http.close() }

// chain reads environment, profiles and CA bundle.
func (b *Bucket) chain(ctx context.Context) (aws.Config, error) {
	opts := []func(*config.LoadOptions) error{
		// The BuildableClient is the only one that AWS_CA_BUNDLE can be added to.
		config.WithHTTPClient(baseClient()),
		config.WithLogger(logging.Nop{}),
	}
	if b.cfg.Region != "" {
		opts = append(opts, config.WithRegion(b.cfg.Region))
	}
	if b.cfg.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(b.cfg.Profile))
	}
	return config.LoadDefaultConfig(ctx, opts...)
}

// load takes over what is configured.
func (b *Bucket) load(ctx context.Context) error {
	var err error
	if b.aws, err = b.chain(ctx); err != nil {
		return &Error{Op: "Open", Kind: ErrCredentials, Detail: oneLine(err.Error()), Err: err}
	}
	b.regionGiven = b.aws.Region != ""
	if !b.regionGiven {
		b.aws.Region = defaultRegion
	}
	return nil
}

// resolveEndpoint settles which URL is asked: the one given, the one of the
// environment or profile, or that of AWS in the region.
func (b *Bucket) resolveEndpoint() error {
	given := b.cfg.Endpoint
	if given == "" {
		if e := awss3.NewFromConfig(b.aws).Options().BaseEndpoint; e != nil {
			given = *e
		}
	}
	b.endpoint = given
	if given == "" {
		b.endpoint = fmt.Sprintf("https://s3.%s.amazonaws.com", b.aws.Region)
		return nil
	}
	if !strings.Contains(given, "://") {
		scheme := "https://"
		if isLocal(hostOf("//" + given)) {
			scheme = "http://"
		}
		given = scheme + given
	}
	u, err := url.Parse(given)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return &Error{Op: "Open", Kind: ErrInvalid, Detail: "the endpoint is no http or https URL"}
	}
	u.User = nil
	b.endpoint = strings.TrimSuffix(u.String(), "/")
	b.cfg.Endpoint = b.endpoint
	return nil
}

// connect makes the API client for the present region and credentials.
func (b *Bucket) connect() {
	b.api.Store(awss3.NewFromConfig(b.aws, func(o *awss3.Options) {
		o.HTTPClient = b.http
		o.UsePathStyle = pathStyle(b.cfg.PathStyle, b.endpoint, b.cfg.Bucket)
		if b.cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(b.cfg.Endpoint)
		}
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		o.Retryer = b.retryer(maxAttempts)
	}))
}

// pathStyle decides between https://host/bucket and https://bucket.host.
func pathStyle(mode, endpoint, bucket string) bool {
	switch mode {
	case "always":
		return true
	case "never":
		return false
	}
	// A wildcard certificate covers one label only.
	dotted := strings.Contains(bucket, ".") && strings.HasPrefix(endpoint, "https:")
	return dotted || isLocal(hostOf(endpoint))
}

// isLocal recognises hosts that cannot have the bucket as a subdomain: IP
// addresses, localhost, and names without a dot.
func isLocal(host string) bool {
	return net.ParseIP(host) != nil || !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost")
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
