package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// listReader reads the pages of listings, for which the SDK takes longer than the server
// takes to make them. What is not as all servers write it is left to the SDK.
type listReader struct {
	out *awss3.ListObjectsV2Output // nil: the SDK has read the page
}

// option lets a request use the reader. It goes between the SDK's own reader and the
// connection.
func (l *listReader) option(o *awss3.Options) {
	between := middleware.DeserializeMiddlewareFunc("ListReader", l.handle)
	o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], func(s *middleware.Stack) error {
		return s.Deserialize.Insert(between, "OperationDeserializer", middleware.After)
	})
}

func (l *listReader) handle(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	l.out = nil // of an earlier try
	out, meta, err := next.HandleDeserialize(ctx, in)
	answer, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || answer.StatusCode != 200 {
		return out, meta, err
	}
	body, err := io.ReadAll(answer.Body)
	rest := io.Reader(bytes.NewReader(body))
	if err != nil {
		rest = io.MultiReader(rest, failing{err})
	} else if l.out, err = parseListing(string(body)); err == nil {
		rest = strings.NewReader("<ListBucketResult/>")
	} else if !isListing(body) { // the SDK would take it for a listing of nothing
		rest = failing{errPage}
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{rest, answer.Body}
	return out, meta, nil
}

// failing is the end of a body that broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// errPage is a page that is left to the SDK.
var errPage = errors.New("not a page as all servers write it")

// isListing tells whether an answer begins as a listing does: others may be of something
// between here and the server, and an empty one has lost its bytes.
func isListing(body []byte) bool {
	for d := xml.NewDecoder(bytes.NewReader(body)); ; {
		t, err := d.Token()
		if root, ok := t.(xml.StartElement); ok || err != nil {
			return strings.EqualFold(root.Name.Local, "ListBucketResult")
		}
	}
}

// parseListing reads a page. It takes plain elements only: no comments, no sections of
// CDATA, no prefixes of names.
func parseListing(body string) (*awss3.ListObjectsV2Output, error) {
	x := &xmlText{rest: strings.TrimPrefix(body, `<?xml version="1.0" encoding="UTF-8"?>`)}
	out := &awss3.ListObjectsV2Output{}
	if name, open := x.element(); name != "ListBucketResult" || !open {
		return nil, errPage
	}
	x.children(func(name string) {
		switch name {
		case "Contents":
			out.Contents = append(out.Contents, x.object())
		case "CommonPrefixes":
			var p types.CommonPrefix
			x.children(func(name string) {
				if name != "Prefix" {
					x.other(name)
					return
				}
				s := strings.Clone(x.text())
				p.Prefix = &s
			})
			out.CommonPrefixes = append(out.CommonPrefixes, p)
		case "IsTruncated":
			yes := x.bool()
			out.IsTruncated = &yes
		case "NextContinuationToken":
			s := strings.Clone(x.text())
			out.NextContinuationToken = &s
		case "EncodingType":
			out.EncodingType = types.EncodingType(strings.Clone(x.text()))
		default:
			x.other(name)
		}
	})
	if x.bad || strings.TrimSpace(x.rest) != "" {
		return nil, errPage
	}
	return out, nil
}

// object reads what is in Contents.
func (x *xmlText) object() (o types.Object) {
	x.children(func(name string) {
		switch name {
		case "Key":
			s := strings.Clone(x.text()) // else it keeps the whole page
			o.Key = &s
		case "ETag":
			s := strings.Clone(x.text())
			o.ETag = &s
		case "Size":
			n, err := strconv.ParseInt(x.text(), 10, 64)
			x.bad = x.bad || err != nil
			o.Size = &n
		case "LastModified":
			o.LastModified = x.time()
		case "StorageClass":
			if s := x.text(); s == string(types.ObjectStorageClassStandard) {
				o.StorageClass = types.ObjectStorageClassStandard
			} else {
				o.StorageClass = types.ObjectStorageClass(strings.Clone(s))
			}
		case "RestoreStatus":
			x.bad = x.bad || o.RestoreStatus != nil
			o.RestoreStatus = x.restore()
		default:
			x.other(name)
		}
	})
	return o
}

func (x *xmlText) restore() *types.RestoreStatus {
	r := &types.RestoreStatus{}
	x.children(func(name string) {
		switch name {
		case "IsRestoreInProgress":
			yes := x.bool()
			r.IsRestoreInProgress = &yes
		case "RestoreExpiryDate":
			r.RestoreExpiryDate = x.time()
		default:
			x.other(name)
		}
	})
	return r
}

func (x *xmlText) time() *time.Time {
	var at time.Time
	err := at.UnmarshalText([]byte(x.text()))
	x.bad = x.bad || err != nil
	return &at
}

// read are the elements that are read. The SDK takes them in any case of letters.
var read = []string{
	"Contents", "CommonPrefixes", "IsTruncated", "NextContinuationToken", "EncodingType", "Prefix", "Key", "ETag",
	"Size", "LastModified", "StorageClass", "RestoreStatus", "IsRestoreInProgress", "RestoreExpiryDate",
}

// other passes over an element.
func (x *xmlText) other(name string) {
	x.bad = x.bad || slices.ContainsFunc(read, func(r string) bool { return r != name && strings.EqualFold(r, name) })
	x.skip()
}
