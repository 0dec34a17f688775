package s3

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// properties gathers what a HEAD or GET tells besides the bytes.
func properties(contentType, cache, disposition, encoding, language, expires *string, meta map[string]string, class types.StorageClass) Properties {
	p := Properties{
		ContentType: val(contentType), CacheControl: val(cache), ContentDisposition: val(disposition),
		ContentEncoding: val(encoding), ContentLanguage: val(language), Expires: val(expires),
		StorageClass: string(class), Meta: make(map[string]string, len(meta)),
	}
	decoder := new(mime.WordDecoder)
	for k, v := range meta {
		// Values that are not ASCII come back as encoded words (RFC 2047).
		if strings.Contains(v, "=?") {
			if plain, err := decoder.DecodeHeader(v); err == nil {
				v = plain
			}
		}
		p.Meta[strings.ToLower(k)] = v
	}
	return p
}

// sentMeta is the user metadata as headers may carry it.
func (p *Properties) sentMeta() map[string]string {
	out := make(map[string]string, len(p.Meta))
	for k, v := range p.Meta {
		out[strings.ToLower(k)] = mime.BEncoding.Encode("UTF-8", v)
	}
	return out
}

// sentExpires is nil where it is not set, or no date.
func (p *Properties) sentExpires() *time.Time {
	t, err := http.ParseTime(p.Expires)
	if err != nil {
		return nil
	}
	return &t
}

// encryption is what a write asks for: what the flags say, else as the object was.
func (b *Bucket) encryption(p *Properties) (types.ServerSideEncryption, *string, *bool) {
	if b.cfg.SSE != "" || b.cfg.SSEKMSKey != "" || p == nil || p.SSE == "" {
		return types.ServerSideEncryption(b.cfg.SSE), str(b.cfg.SSEKMSKey), nil
	}
	var bucketKey *bool
	if p.BucketKey {
		bucketKey = &p.BucketKey
	}
	return types.ServerSideEncryption(p.SSE), str(p.SSEKMSKey), bucketKey
}

func (b *Bucket) storageClass(p *Properties) types.StorageClass {
	if p != nil && p.StorageClass != "" {
		return types.StorageClass(p.StorageClass)
	}
	return types.StorageClass(b.cfg.StorageClass)
}

func (b *Bucket) payer() types.RequestPayer {
	if b.cfg.RequestPayer {
		return types.RequestPayerRequester
	}
	return ""
}

// needsRestore says whether the bytes are in an archive, where a GET fails.
func needsRestore(class, archiveStatus, restore string) bool {
	if strings.Contains(restore, `ongoing-request="false"`) {
		return false
	}
	return class == string(types.StorageClassGlacier) || class == string(types.StorageClassDeepArchive) || archiveStatus != ""
}

// placement is what a copy does not take over by itself. What was in an archive and
// was restored is to stay readable.
func (o *Object) placement() *Properties {
	p := Properties{StorageClass: o.StorageClass, SSE: o.Props.SSE, SSEKMSKey: o.Props.SSEKMSKey, BucketKey: o.Props.BucketKey}
	switch p.StorageClass {
	case "STANDARD", string(types.StorageClassGlacier), string(types.StorageClassDeepArchive):
		p.StorageClass = ""
	}
	return &p
}

// copySource is the header x-amz-copy-source: the SDK does not encode it.
func (b *Bucket) copySource(key, version string) string {
	const hex = "0123456789ABCDEF"
	s := b.cfg.Bucket + "/" + key
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~/", c) >= 0
		if plain {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(hex[c>>4])
		out.WriteByte(hex[c&15])
	}
	if version != "" {
		out.WriteString("?versionId=" + url.QueryEscape(version))
	}
	return out.String()
}

func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
