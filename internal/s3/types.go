// Package s3 is the bucket: typed operations on one S3 bucket, and the only
// importer of the AWS SDK.
//
// It signs, retries a request a few times, checks what comes back (ETag, size,
// content range) and classifies every failure once, into an [Error] of a
// closed list of kinds. It never buffers or copies the bytes of an object,
// never caches, never logs a secret, and never retries a body: a reader whose
// body broke asks again for the rest.
package s3

import (
	"context"
	"log/slog"
	"net"
	"time"

	"s3mount/internal/sum"
)

// Config says which bucket, and how to reach it.
type Config struct {
	Bucket, Endpoint, Region, Profile string

	// Prefix is what [Bucket.Check] lists: a policy may allow no more. All other
	// operations take whole keys.
	Prefix string

	// PathStyle is "auto" (or empty), "always" or "never". Auto means always
	// for IP addresses and localhost, for bucket names that cannot be a host
	// name under TLS, and never otherwise.
	PathStyle string

	// Anonymous sends unsigned requests. It is also chosen by [Bucket.Check]
	// when no credentials exist anywhere and the bucket answers without.
	Anonymous bool

	// AccessKey, SecretKey and SessionToken replace the credential chain of
	// the SDK (environment, profiles, SSO, web identity, instance metadata).
	AccessKey, SecretKey, SessionToken string

	SSE, SSEKMSKey, StorageClass, ACL string
	RequestPayer                      bool

	MaxConns int // connections per host for each kind of request; 0 means 128

	// DialContext replaces the network, for tests.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Asleep replaces the clock that tells how long this machine has slept, for tests.
	Asleep func() time.Duration

	Log *slog.Logger // nil: silent
}

// Object is one version of one object.
type Object struct {
	Key          string
	ETag         string // with its quotes, as the server sent it; or what stands for it, see Dated
	VersionID    string // empty in buckets without versions
	Size         int64
	LastModified time.Time // second precision, the server's clock
	Date         time.Time // when the server answered, by the same clock; zero from List
	StorageClass string    // empty means STANDARD
	Archived     bool      // must be restored before it can be read
	Props        Properties
	HasProps     bool // Props are known: true from Head and GetRange, false from List

	Sum Sum // of all bytes, from Get where the server has it
}

// Properties is what an object carries besides its bytes.
type Properties struct {
	ContentType, CacheControl, ContentDisposition, ContentEncoding, ContentLanguage string

	Expires string            // an HTTP date
	Meta    map[string]string // user metadata, keys in lower case without x-amz-meta-

	// StorageClass of the object; empty takes that of the Config when written.
	StorageClass string

	// SSE is how the server encrypted it, with the key SSEKMSKey; empty: not said.
	// When written, the Config goes first.
	SSE, SSEKMSKey string
	BucketKey      bool

	// TagCount is how many tags the object has; a copy keeps them. Tags, in the form
	// of a URL query, are set when it is written otherwise; see [Bucket.Tags].
	TagCount int
	Tags     string
	// OwnTags: a copy gets Tags in place of those of its source.
	OwnTags bool
}

// Cond is the precondition of a write. The zero Cond writes always.
type Cond struct {
	IfMatch     string // only while the object has this ETag
	IfNoneMatch bool   // only while there is no object
}

// Part is one uploaded part.
type Part struct {
	Number int32 // 1 to 10,000
	ETag   string
	Size   int64
	Sums   *sum.Sums // nil when the caller has none
	Sum    Sum       // what the server compared; Complete names it
}

// PendingUpload is a multipart upload that was neither completed nor aborted.
type PendingUpload struct {
	Key, ID   string
	Initiated time.Time
}

// Page is one answer of a listing, in the byte order of keys.
type Page struct {
	Objects  []Object
	Prefixes []string // with the trailing delimiter
	Next     string   // token of the next page; empty at the end
}
