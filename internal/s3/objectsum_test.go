package s3

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"s3mount/internal/sum"
)

// Only a checksum of all bytes is compared with all bytes.
func TestObjectSum(t *testing.T) {
	const one, many = `"0123"`, `"0123-4"`
	const c64, c32 = "rosUhgp5mIg=", "4waSgw=="
	for _, tt := range []struct {
		kind                 types.ChecksumType
		etag                 string
		crc64, crc32c, crc32 string
		want                 sum.Sums
		parts                bool
	}{
		{"FULL_OBJECT", many, "", c32, "", sum.Sums{CRC32C: 0xe3069283}, false},
		{"FULL_OBJECT", many, c64, "", "", sum.Sums{CRC64NVME: 0xae8b14860a799888}, false},
		{"FULL_OBJECT", many, "", "", c32, sum.Sums{CRC32: 0xe3069283}, false},
		{"COMPOSITE", many, "", c32, "", sum.Sums{}, true},
		{"COMPOSITE", many, "", c32 + "-4", "", sum.Sums{}, true},
		{"COMPOSITE", many, "", "", c32 + "-4", sum.Sums{}, true},
		{"", many, "", c32 + "-4", "", sum.Sums{}, true},
		{"", many, "", c32, "", sum.Sums{}, true},
		{"", many, "", "", c32, sum.Sums{}, true},
		{"", many, c64, "", "", sum.Sums{CRC64NVME: 0xae8b14860a799888}, false}, // there is no other kind of it
		{"", one, "", c32, "", sum.Sums{CRC32C: 0xe3069283}, false},
		{"", one, "", "", c32, sum.Sums{CRC32: 0xe3069283}, false},
		{"", one, "", "", "", sum.Sums{}, false},
		{"", one, "", "no base64", "", sum.Sums{}, false},
		{"", one, c32, "", "", sum.Sums{}, false},
	} {
		field := func(s string) *string {
			if s == "" {
				return nil
			}
			return aws.String(s)
		}
		got, parts := objectSum(tt.kind, aws.String(tt.etag), field(tt.crc64), field(tt.crc32c), field(tt.crc32))
		if got.Sums() != tt.want || (got.Kind() != 0) != (tt.want != sum.Sums{}) || parts != tt.parts {
			t.Errorf("%+v: %+v, %v", tt, got, parts)
		}
	}
}
