package s3

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// remedies says for each kind what the user should do, in one line.
var remedies = []struct {
	kind error
	text string
}{
	{ErrNoBucket, "check the name of the bucket and the --endpoint, or create the bucket"},
	{ErrNotFound, "check the key: it may have been deleted or renamed by another client"},
	{ErrNoUpload, "the store dropped the unfinished upload: it will be sent again from local disk"},
	{ErrDenied, "ask the owner of the bucket for permission (list, read, write, delete), or use another --profile"},
	{ErrCredentials, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the --profile, or run `aws sso login`"},
	{ErrWrongRegion, "set --region to the region of the bucket"},
	{ErrClockSkew, "set the clock of this machine (for example: timedatectl set-ntp true)"},
	{ErrPrecondition, "another client wrote the object meanwhile: look at both versions"},
	{ErrConflict, "another client is writing the same object: try again in a moment"},
	{ErrChanged, "the object was changed by another client while it was read: open the file again"},
	{ErrThrottled, "the server asks for fewer requests: wait, or lower the number of connections"},
	{ErrServer, "the server has a problem: try again later, or ask whoever runs it"},
	{ErrTimeout, "check the network, the --endpoint and the proxy settings"},
	{ErrArchived, "restore the object first (for example: aws s3api restore-object)"},
	{ErrBadDigest, "bytes were damaged on the way: check network hardware and memory of this machine"},
	{ErrUnsupported, "this store does not offer what was asked; another store or other flags may"},
	{ErrBadKey, "give it a shorter or plainer name"},
	{ErrInvalid, "check the flags and the endpoint: the request itself was refused"},
}

// Remedy is one line saying what the user should do about err; empty when there
// is nothing to say.
func Remedy(err error) string {
	var e *Error
	if !errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return ""
	}
	if e.Kind == ErrWrongRegion && e.Region != "" {
		return "use --region " + e.Region
	}
	switch e.Status {
	case http.StatusRequestEntityTooLarge:
		return "the server, or a proxy before it, takes no request of this size: raise its limit, or give a smaller --part-size"
	case http.StatusProxyAuthRequired:
		return "the proxy wants a login: put it into the address, as in HTTPS_PROXY=http://user:password@host:port"
	}
	if e.Kind == ErrUnavailable {
		return remedyOfConnection(err)
	}
	for _, r := range remedies {
		if errors.Is(e.Kind, r.kind) {
			return r.text
		}
	}
	return ""
}

func remedyOfConnection(err error) string {
	var dns *net.DNSError
	switch {
	case isCertificateError(err):
		return "check https or http in the --endpoint; for a private certificate set AWS_CA_BUNDLE to its CA file"
	case errors.As(err, &dns):
		return "check the host name of the --endpoint; --path-style=always avoids names that begin with the bucket"
	}
	return "check that the server runs and that the --endpoint, port and proxy settings are right"
}
