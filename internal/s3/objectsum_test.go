package s3

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Only a checksum of all bytes is compared with bytes.
func TestObjectSum(t *testing.T) {
	const one, many = `"0123"`, `"0123-4"`
	for _, tt := range []struct {
		kind          types.ChecksumType
		etag          string
		crc64, crc32c string
		want          string
	}{
		{"FULL_OBJECT", many, "", "c32", "c32"},
		{"FULL_OBJECT", many, "c64", "", "c64"},
		{"COMPOSITE", many, "", "c32", ""},
		{"COMPOSITE", many, "", "c32-4", ""},
		{"", many, "", "c32-4", ""},
		{"", many, "", "c32", ""},
		{"", many, "c64", "", "c64"}, // there is no other kind of it
		{"", one, "", "c32", "c32"},
		{"", one, "", "", ""},
	} {
		field := func(s string) *string {
			if s == "" {
				return nil
			}
			return aws.String(s)
		}
		got := objectSum(tt.kind, aws.String(tt.etag), field(tt.crc64), field(tt.crc32c))
		if got.value != tt.want || got.Comparable() != (tt.want != "") {
			t.Errorf("%+v: %+v", tt, got)
		}
	}
}
