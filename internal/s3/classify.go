package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// kindOfCode is what the error codes of S3 and of the stores alike it mean.
var kindOfCode = map[string]error{
	"NoSuchKey":                   ErrNotFound,
	"NoSuchVersion":               ErrNotFound,
	"NoSuchBucket":                ErrNoBucket,
	"InvalidBucketName":           ErrNoBucket,
	"NoSuchUpload":                ErrNoUpload,
	"InvalidPart":                 ErrNoUpload, // it lacks a part that it had: it is of no use
	"AccessDenied":                ErrDenied,
	"InvalidAccessKeyId":          ErrCredentials,
	"SignatureDoesNotMatch":       ErrCredentials,
	"ExpiredToken":                ErrCredentials,
	"InvalidToken":                ErrCredentials,
	"TokenRefreshRequired":        ErrCredentials,
	"InvalidClientTokenId":        ErrCredentials,
	"UnrecognizedClientException": ErrCredentials,
	"XAdminUserNotFound":          ErrCredentials,
	"PermanentRedirect":           ErrWrongRegion,
	"TemporaryRedirect":           ErrWrongRegion,
	"MovedPermanently":            ErrWrongRegion,
	"RequestTimeTooSkewed":        ErrClockSkew,
	"RequestExpired":              ErrClockSkew,
	"PreconditionFailed":          ErrPrecondition,
	"ConditionalRequestConflict":  ErrConflict,
	"OperationAborted":            ErrConflict,
	"SlowDown":                    ErrThrottled,
	"SlowDownRead":                ErrThrottled,
	"SlowDownWrite":               ErrThrottled,
	"ServerBusy":                  ErrThrottled,
	"TooManyRequests":             ErrThrottled,
	"Throttling":                  ErrThrottled,
	"ThrottlingException":         ErrThrottled,
	"RequestLimitExceeded":        ErrThrottled,
	"BandwidthLimitExceeded":      ErrThrottled,
	"RequestTimeout":              ErrTimeout,
	"IncompleteBody":              ErrUnavailable,
	"InvalidObjectState":          ErrArchived,
	"ObjectNotInActiveTierError":  ErrArchived,
	"BadDigest":                   ErrBadDigest,
	"XAmzContentChecksumMismatch": ErrBadDigest,
	"XAmzContentSHA256Mismatch":   ErrBadDigest,
	"NotImplemented":              ErrUnsupported,
	"MethodNotAllowed":            ErrUnsupported,
	"KeyTooLongError":             ErrBadKey,
	"XMinioInvalidObjectName":     ErrBadKey, // also of a directory whose name has more than 244 bytes
}

// minioCutCommit is what MinIO answers where the directory with the bytes of a new version is
// there already. An upload has one such directory: when a client dies while its upload is being
// completed, MinIO may stop between moving the directory and naming it, and no repetition
// completes that upload. Anything else gets another directory with the next try.
const minioCutCommit = "XMinioObjectExistsAsDirectory"

// classify turns what the SDK returned into an *Error. It is the only place
// where that is decided.
func classify(op, key string, err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	e := &Error{Op: op, Key: key, Err: err}
	if cause, ok := ofContext(err); ok {
		e.Kind = cause
		return e
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() != 0 {
		e.ofAnswer(answer, err)
		return e
	}
	e.ofConnection(err)
	return e
}

// ofContext: the caller gave up, or its own deadline passed.
func ofContext(err error) (error, bool) {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled, true
	case errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout, true
	}
	return nil, false
}

// ofAnswer classifies an answer of the server.
func (e *Error) ofAnswer(answer *smithyhttp.ResponseError, err error) {
	e.Status = answer.HTTPStatusCode()
	var header http.Header
	if answer.Response != nil && answer.Response.Response != nil {
		header = answer.Response.Header
	}
	e.RequestID = header.Get("X-Amz-Request-Id")
	e.Region = header.Get("X-Amz-Bucket-Region")
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code = strings.ReplaceAll(api.ErrorCode(), " ", "")
		e.Detail = oneLine(api.ErrorMessage())
	}
	if e.Region == "" {
		e.Region = expectedRegion(e.Detail)
	}
	e.Kind = e.kindOfAnswer(err)
	switch {
	case e.Kind != ErrWrongRegion:
		e.Region = ""
	case e.Region != "":
		e.Detail = "it is in " + e.Region
	}
	if e.Detail == e.Code || e.Detail == http.StatusText(e.Status) {
		e.Detail = ""
	}
}

func (e *Error) kindOfAnswer(err error) error {
	if e.Code == "AuthorizationHeaderMalformed" {
		if e.Region != "" || strings.Contains(e.Detail, "region") {
			return ErrWrongRegion
		}
		return ErrCredentials
	}
	if kind := kindOfCode[e.Code]; kind != nil {
		return kind
	}
	if e.Code == minioCutCommit {
		if e.Op == "CompleteMultipartUpload" {
			return ErrNoUpload
		}
		return ErrConflict
	}
	switch {
	case e.Status == http.StatusNotFound && e.Op == "HeadBucket":
		return ErrNoBucket
	case e.Status == http.StatusNotFound:
		return ErrNotFound
	case e.Status == http.StatusFound, e.Status == http.StatusSeeOther: // what S3 never says
		e.Detail = notS3
		return ErrUnavailable
	case e.Status >= 300 && e.Status < 400:
		return ErrWrongRegion
	case e.Status == http.StatusBadRequest && e.Op == "HeadBucket" && e.Region != "":
		return ErrWrongRegion
	case e.Status == http.StatusUnauthorized:
		return ErrCredentials
	case e.Status == http.StatusForbidden:
		return ErrDenied
	case e.Status == http.StatusPreconditionFailed:
		return ErrPrecondition
	case e.Status == http.StatusConflict && (e.Code == "" || e.Code == "Conflict"):
		return ErrConflict
	case e.Status == http.StatusRequestTimeout:
		return ErrTimeout
	case e.Status == http.StatusTooManyRequests:
		return ErrThrottled
	case e.Status == http.StatusNotImplemented, e.Status == http.StatusMethodNotAllowed:
		return ErrUnsupported
	case e.Status >= 500:
		return ErrServer
	case e.Status < 300:
		return e.ofGarbage(err)
	}
	return ErrInvalid
}

// notS3 is said of answers that no S3 server gives.
const notS3 = "this is not the answer of an S3 server (a login page or a proxy?)"

// ofGarbage: the status says success, yet the answer could not be read. Either
// the connection broke within it, or something else than S3 answered.
func (e *Error) ofGarbage(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return ErrTimeout
	}
	if !isBroken(err) {
		e.Detail = notS3
	}
	return ErrUnavailable
}

// ofConnection classifies what happened when no answer came.
func (e *Error) ofConnection(err error) {
	e.Detail = oneLine(innermost(err).Error())
	var creds *credentialsError
	var network net.Error
	isNetwork := errors.As(err, &network)
	var sent *smithyhttp.RequestSendError
	switch {
	case errors.As(err, &creds) && !isNetwork:
		e.Kind = ErrCredentials
	case isCertificateError(err):
		e.Kind = ErrUnavailable
	case isNetwork && network.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		e.Kind, e.Detail = ErrTimeout, ""
	case isNetwork, isBroken(err), errors.As(err, &sent):
		e.Kind = ErrUnavailable
	default:
		e.Kind = ErrInvalid
	}
}

// isBroken recognises a connection that ended too early.
func isBroken(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &op)
}

// isReset: there was a connection, and the other side closed it.
func isReset(err error) bool {
	var op *net.OpError
	return errors.Is(err, ErrUnavailable) && !(errors.As(err, &op) && op.Op == "dial") && !isCertificateError(err)
}

func isCertificateError(err error) bool {
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	return errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &host) ||
		errors.As(err, &invalid) || errors.As(err, &record)
}

// innermost skips the wrappings of the SDK and the URL, which holds the key.
func innermost(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	var s *smithyhttp.RequestSendError
	if errors.As(err, &s) {
		return s.Err
	}
	var o *smithy.OperationError
	if errors.As(err, &o) {
		return o.Err
	}
	return err
}

// expectedRegion finds the right region in "...; expecting 'eu-west-1'".
func expectedRegion(message string) string {
	_, rest, ok := strings.Cut(message, "expecting '")
	if !ok {
		return ""
	}
	region, _, _ := strings.Cut(rest, "'")
	return region
}

// oneLine makes a message fit into one line of a log.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "..."
	}
	return s
}
