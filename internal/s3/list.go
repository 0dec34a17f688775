package s3

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// List gives one page of the keys below prefix: those after startAfter, or
// those after the page whose Next is token. With a delimiter, keys that contain
// it after the prefix are folded into Prefixes. max is at most 1000; 0 means 1000.
func (b *Bucket) List(ctx context.Context, prefix, delimiter, startAfter string, token string, max int) (Page, error) {
	in := &awss3.ListObjectsV2Input{
		Bucket: &b.cfg.Bucket, Prefix: str(prefix), Delimiter: str(delimiter), StartAfter: str(startAfter),
		ContinuationToken: str(token), EncodingType: types.EncodingTypeUrl, RequestPayer: b.payer(),
		OptionalObjectAttributes: []types.OptionalObjectAttributes{types.OptionalObjectAttributesRestoreStatus},
	}
	if max > 0 {
		in.MaxKeys = aws.Int32(int32(min(max, 1000)))
	}
	var reader listReader
	out, err := b.api.Load().ListObjectsV2(ctx, in, reader.option, b.patient)
	if err != nil {
		err := classify("ListObjectsV2", prefix, err)
		return Page{}, err
	}
	if reader.out != nil {
		out = reader.out
	}
	var page Page
	decode := decoder(out.EncodingType)
	for i := range out.Contents {
		page.Objects = append(page.Objects, listed(&out.Contents[i], decode))
	}
	for _, p := range out.CommonPrefixes {
		page.Prefixes = append(page.Prefixes, decode(val(p.Prefix)))
	}
	if key := page.outside(prefix); key != "" {
		return Page{}, &Error{Op: "ListObjectsV2", Key: prefix, Kind: ErrServer, Detail: fmt.Sprintf("the listing names %q, which is not below the prefix", key)}
	}
	if val(out.IsTruncated) {
		page.Next = val(out.NextContinuationToken)
		if page.Next == "" || page.Next == token {
			return Page{}, &Error{Op: "ListObjectsV2", Key: prefix, Kind: ErrServer, Detail: "the listing does not advance"}
		}
	}
	return page, nil
}

// outside is a key that the listing of a prefix must not name; empty: there is none.
func (p *Page) outside(prefix string) string {
	for i := range p.Objects {
		if key := p.Objects[i].Key; !strings.HasPrefix(key, prefix) {
			return key
		}
	}
	for _, key := range p.Prefixes {
		if !strings.HasPrefix(key, prefix) {
			return key
		}
	}
	return ""
}

func listed(o *types.Object, decode func(string) string) Object {
	restored := ""
	if o.RestoreStatus != nil && o.RestoreStatus.RestoreExpiryDate != nil && !val(o.RestoreStatus.IsRestoreInProgress) {
		restored = `ongoing-request="false"`
	}
	key := decode(val(o.Key))
	return Object{
		Key: key, ETag: etagOf(key, o.ETag, o.LastModified, val(o.Size)), Size: val(o.Size), LastModified: val(o.LastModified),
		StorageClass: string(o.StorageClass), Archived: needsRestore(string(o.StorageClass), "", restored),
	}
}

// decoder undoes the encoding that lets XML carry any key. A server that does
// not know it says so by not repeating it.
func decoder(encoding types.EncodingType) func(string) string {
	if encoding != types.EncodingTypeUrl {
		return func(s string) string { return s }
	}
	return func(s string) string {
		plain, err := url.QueryUnescape(s)
		if err != nil {
			return s
		}
		return plain
	}
}
