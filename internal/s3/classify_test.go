package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// answered is an error as the SDK makes it from an answer.
func answered(status int, code, message string, header ...string) error {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &smithy.OperationError{ServiceID: "S3", OperationName: "X", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: h}},
		Err:      &smithy.GenericAPIError{Code: code, Message: message},
	}}
}

// unsent is an error as the SDK makes it when no answer came.
func unsent(err error) error {
	return &smithy.OperationError{ServiceID: "S3", OperationName: "X", Err: &smithyhttp.RequestSendError{
		Err: &url.Error{Op: "Get", URL: "http://host/bucket/secret-key?token=secret", Err: err},
	}}
}

func TestClassifyAnswers(t *testing.T) {
	malformed := "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'"
	tests := []struct {
		op            string
		status        int
		code, message string
		header        []string
		kind          error
		region        string
		remedy        string
	}{
		{op: "HeadBucket", status: 404, code: "NotFound", kind: ErrNoBucket},
		{op: "HeadBucket", status: 403, code: "Forbidden", kind: ErrDenied},
		{op: "HeadBucket", status: 301, code: "MovedPermanently", header: []string{"X-Amz-Bucket-Region", "eu-west-1"}, kind: ErrWrongRegion, region: "eu-west-1"},
		{op: "HeadBucket", status: 400, code: "BadRequest", header: []string{"X-Amz-Bucket-Region", "eu-west-1"}, kind: ErrWrongRegion, region: "eu-west-1"},
		{op: "HeadBucket", status: 400, code: "BadRequest", kind: ErrInvalid},
		{op: "HeadObject", status: 404, code: "NotFound", kind: ErrNotFound},
		{op: "HeadObject", status: 412, code: "PreconditionFailed", kind: ErrPrecondition},
		{op: "HeadObject", status: 412, code: "Precondition Failed", kind: ErrPrecondition},
		{op: "GetObject", status: 404, code: "NoSuchKey", kind: ErrNotFound},
		{op: "GetObject", status: 404, code: "NoSuchBucket", kind: ErrNoBucket},
		{op: "GetObject", status: 403, code: "InvalidObjectState", kind: ErrArchived},
		{op: "GetObject", status: 403, code: "AccessDenied", header: []string{"X-Amz-Bucket-Region", "eu-west-1"}, kind: ErrDenied},
		{op: "GetObject", status: 301, code: "PermanentRedirect", kind: ErrWrongRegion},
		{op: "GetObject", status: 302, code: "Found", kind: ErrUnavailable},
		{op: "GetObject", status: 400, code: "AuthorizationHeaderMalformed", message: malformed, kind: ErrWrongRegion, region: "eu-central-1"},
		{op: "GetObject", status: 400, code: "AuthorizationHeaderMalformed", message: "The credential is malformed", kind: ErrCredentials},
		{op: "GetObject", status: 403, code: "RequestTimeTooSkewed", kind: ErrClockSkew},
		{op: "GetObject", status: 403, code: "SignatureDoesNotMatch", kind: ErrCredentials},
		{op: "GetObject", status: 400, code: "ExpiredToken", kind: ErrCredentials},
		{op: "GetObject", status: 503, code: "SlowDown", kind: ErrThrottled},
		{op: "GetObject", status: 503, code: "ServiceUnavailable", kind: ErrServer},
		{op: "GetObject", status: 429, code: "", kind: ErrThrottled},
		{op: "GetObject", status: 500, code: "InternalError", kind: ErrServer},
		{op: "PutObject", status: 409, code: "ConditionalRequestConflict", kind: ErrConflict},
		{op: "CompleteMultipartUpload", status: 400, code: "XMinioObjectExistsAsDirectory", kind: ErrNoUpload},
		{op: "PutObject", status: 400, code: "XMinioObjectExistsAsDirectory", kind: ErrConflict},
		{op: "PutObject", status: 409, code: "BucketAlreadyExists", kind: ErrInvalid},
		{op: "PutObject", status: 400, code: "BadDigest", kind: ErrBadDigest},
		{op: "PutObject", status: 400, code: "XAmzContentChecksumMismatch", kind: ErrBadDigest},
		{op: "PutObject", status: 400, code: "RequestTimeout", kind: ErrTimeout},
		{op: "PutObject", status: 400, code: "MetadataTooLarge", kind: ErrInvalid},
		{op: "PutObject", status: 413, code: "RequestEntityTooLarge", kind: ErrInvalid, remedy: "--part-size"},
		{op: "PutObject", status: 407, code: "ProxyAuthenticationRequired", kind: ErrInvalid, remedy: "HTTPS_PROXY"},
		{op: "PutObject", status: 501, code: "NotImplemented", kind: ErrUnsupported},
		{op: "PutObject", status: 400, code: "KeyTooLongError", kind: ErrBadKey},
		{op: "PutObject", status: 405, code: "MethodNotAllowed", kind: ErrUnsupported},
		{op: "UploadPart", status: 404, code: "NoSuchUpload", kind: ErrNoUpload},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.op, " ", test.status, " ", test.code), func(t *testing.T) {
			err := classify(test.op, "k", answered(test.status, test.code, test.message, append(test.header, "X-Amz-Request-Id", "ID")...))
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, test.kind) || e.Region != test.region || e.Status != test.status || e.RequestID != "ID" {
				t.Errorf("got %#v; want %v", err, test.kind)
			}
			if test.region != "" && (!strings.Contains(err.Error(), test.region) || Remedy(err) != "use --region "+test.region) {
				t.Errorf("the region is not told: %v; %s", err, Remedy(err))
			}
			if Remedy(err) == "" || !strings.Contains(Remedy(err), test.remedy) {
				t.Error("no remedy")
			}
		})
	}
}

func TestClassifyConnections(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	timeout := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	dns := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "bucket.nowhere", IsNotFound: true}}
	tests := []struct {
		name      string
		err, kind error
		retryable bool
	}{
		{"refused", unsent(refused), ErrUnavailable, true},
		{"reset", unsent(reset), ErrUnavailable, true},
		{"closed", unsent(io.EOF), ErrUnavailable, true},
		{"no such host", unsent(dns), ErrUnavailable, true},
		{"timeout", unsent(timeout), ErrTimeout, true},
		{"cut body", io.ErrUnexpectedEOF, ErrUnavailable, true},
		{"cancelled", unsent(context.Canceled), context.Canceled, false},
		{"deadline", unsent(context.DeadlineExceeded), ErrTimeout, true},
		{"no credentials", fmt.Errorf("sign: %w", &credentialsError{errors.New("none")}), ErrCredentials, false},
		{"credentials offline", fmt.Errorf("sign: %w", &credentialsError{refused}), ErrUnavailable, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := classify("GetObject", "k", test.err)
			if !errors.Is(err, test.kind) || Retryable(err) != test.retryable {
				t.Errorf("got %v, retryable %v; want %v, %v", err, Retryable(err), test.kind, test.retryable)
			}
			if !errors.Is(err, test.err) {
				t.Error("the cause is lost")
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error holds the URL: %v", err)
			}
			if strings.ContainsAny(err.Error()+Remedy(err), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestPathStyle(t *testing.T) {
	tests := []struct {
		mode, endpoint, bucket string
		want                   bool
	}{
		{"auto", "https://s3.eu-west-1.amazonaws.com", "bucket", false},
		{"", "https://s3.example.com:9000", "bucket", false},
		{"auto", "https://s3.example.com", "my.bucket", true},
		{"auto", "http://s3.example.com", "my.bucket", false},
		{"auto", "http://127.0.0.1:9000", "bucket", true},
		{"auto", "http://[::1]:9000", "bucket", true},
		{"auto", "http://localhost:9000", "bucket", true},
		{"auto", "http://minio:9000", "bucket", true},
		{"never", "http://127.0.0.1:9000", "bucket", false},
		{"always", "https://s3.example.com", "bucket", true},
	}
	for _, test := range tests {
		if got := pathStyle(test.mode, test.endpoint, test.bucket); got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

func TestParseContentRange(t *testing.T) {
	start, end, total, ok := parseContentRange("bytes 5-9/100")
	if start != 5 || end != 9 || total != 100 || !ok {
		t.Error(start, end, total, ok)
	}
	for _, bad := range []string{"", "bytes */100", "bytes 5-9", "bytes 5-9/*", "bytes a-b/c", "5"} {
		if _, _, _, ok := parseContentRange(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNeedsRestore(t *testing.T) {
	tests := []struct {
		class, archive, restore string
		want                    bool
	}{
		{"", "", "", false},
		{"STANDARD_IA", "", "", false},
		{"GLACIER_IR", "", "", false},
		{"GLACIER", "", "", true},
		{"DEEP_ARCHIVE", "", `ongoing-request="true"`, true},
		{"DEEP_ARCHIVE", "", `ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"`, false},
		{"INTELLIGENT_TIERING", "ARCHIVE_ACCESS", "", true},
	}
	for _, test := range tests {
		if got := needsRestore(test.class, test.archive, test.restore); got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}
