package s3

import (
	"context"
	"net/url"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Tags asks for the tags of an object, in the form that Properties carry them.
func (b *Bucket) Tags(ctx context.Context, key string) (string, error) {
	out, err := b.api.Load().GetObjectTagging(ctx, &awss3.GetObjectTaggingInput{Bucket: &b.cfg.Bucket, Key: &key, RequestPayer: b.payer()})
	if err != nil {
		return "", classify("GetObjectTagging", key, err)
	}
	tags := url.Values{}
	for _, t := range out.TagSet {
		tags.Add(val(t.Key), val(t.Value))
	}
	return tags.Encode(), nil
}
