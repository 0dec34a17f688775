//go:build linux

package tests

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// client is a minimal S3 client, independent of the one in the product.
type client struct{ endpoint, access, secret string }

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// do sends a signed request; the caller closes the body of a 2xx answer, any
// other answer is an error.
func (c client) do(method, bucket, key string, query url.Values, body []byte) (*http.Response, error) {
	return c.doWith(method, bucket, key, query, body, nil)
}

func (c client) doWith(method, bucket, key string, query url.Values, body []byte, header http.Header) (*http.Response, error) {
	path := "/" + bucket
	if key != "" {
		path += "/" + escapeKey(key)
	}
	req, err := http.NewRequest(method, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header.Clone()
	}
	req.URL.Opaque = "//" + req.URL.Host + path // as signed: no second escaping, no cleaning of the path
	req.URL.RawQuery = canonicalQuery(query)
	c.sign(req, path, body)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		resp.Body.Close()
		return nil, &statusError{method, path, resp.StatusCode, string(text)}
	}
	return resp, nil
}

type statusError struct {
	method, path string
	status       int
	text         string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s", e.method, e.path, e.status, e.text)
}

func (c client) sign(req *http.Request, path string, body []byte) {
	now := time.Now().UTC()
	date, stamp := now.Format("20060102"), now.Format("20060102T150405Z")
	hash := emptyHash
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		hash = hex.EncodeToString(sum[:])
	}
	req.Header.Set("X-Amz-Date", stamp)
	req.Header.Set("X-Amz-Content-Sha256", hash)
	names, lines := []string{"host"}, []string{"host:" + req.URL.Host}
	for _, k := range slices.Sorted(maps.Keys(req.Header)) {
		if name := strings.ToLower(k); strings.HasPrefix(name, "x-amz-") {
			names, lines = append(names, name), append(lines, name+":"+req.Header.Get(k))
		}
	}
	signed := strings.Join(names, ";")
	canonical := strings.Join([]string{req.Method, path, req.URL.RawQuery, strings.Join(lines, "\n"), "", signed, hash}, "\n")
	scope := date + "/us-east-1/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical))
	toSign := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4" + c.secret)
	for _, part := range []string{date, "us-east-1", "s3", "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.access+"/"+scope+
		", SignedHeaders="+signed+", Signature="+hex.EncodeToString(key))
}

func escapeKey(key string) string {
	var b strings.Builder
	for i := range len(key) {
		ch := key[i]
		if ch == '/' || ch == '-' || ch == '_' || ch == '.' || ch == '~' ||
			'a' <= ch && ch <= 'z' || 'A' <= ch && ch <= 'Z' || '0' <= ch && ch <= '9' {
			b.WriteByte(ch)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", ch)
	}
	return b.String()
}

func canonicalQuery(q url.Values) string {
	var parts []string
	for k, vs := range q {
		for _, v := range vs {
			parts = append(parts, escapeQuery(k)+"="+escapeQuery(v))
		}
	}
	sort.Strings(parts)
	return strings.Join(parts, "&")
}

func escapeQuery(s string) string { return strings.ReplaceAll(escapeKey(s), "/", "%2F") }

func (c client) call(method, bucket, key string, query url.Values, body []byte) ([]byte, http.Header, error) {
	resp, err := c.do(method, bucket, key, query, body)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return b, resp.Header, err
}

func (c client) createBucket(bucket string) error {
	_, _, err := c.call("PUT", bucket, "", nil, nil)
	return err
}

func (c client) put(bucket, key string, body []byte) error {
	_, _, err := c.call("PUT", bucket, key, nil, body)
	return err
}

func (c client) get(bucket, key string) ([]byte, error) {
	b, _, err := c.call("GET", bucket, key, nil, nil)
	return b, err
}

// putWith puts an object with headers.
func (c client) putWith(bucket, key string, body []byte, header http.Header) error {
	resp, err := c.doWith("PUT", bucket, key, nil, body, header)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// tags returns the tags of an object.
func (c client) tags(bucket, key string) (map[string]string, error) {
	b, _, err := c.call("GET", bucket, key, url.Values{"tagging": {""}}, nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		TagSet struct {
			Tag []struct{ Key, Value string }
		}
	}
	err = xml.Unmarshal(b, &answer)
	out := map[string]string{}
	for _, t := range answer.TagSet.Tag {
		out[t.Key] = t.Value
	}
	return out, err
}

// head returns the headers of an object.
func (c client) head(bucket, key string) (http.Header, error) {
	_, h, err := c.call("HEAD", bucket, key, nil, nil)
	return h, err
}

// sha256 returns size and checksum of an object without holding it in memory.
func (c client) sha256(bucket, key string) (int64, string, error) {
	resp, err := c.do("GET", bucket, key, nil, nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	h := sha256.New()
	n, err := io.Copy(h, resp.Body)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

type listPrefix struct{ Prefix string }

type listResult struct {
	Contents []struct {
		Key  string
		Size int64
		ETag string
	}
	CommonPrefixes        []listPrefix
	EncodingType          string
	IsTruncated           bool
	NextContinuationToken string
}

// list returns all keys below prefix with their sizes.
func (c client) list(bucket, prefix string) (map[string]int64, error) {
	keys := map[string]int64{}
	q := url.Values{"list-type": {"2"}, "prefix": {prefix}, "encoding-type": {"url"}}
	for {
		b, _, err := c.call("GET", bucket, "", q, nil)
		if err != nil {
			return nil, err
		}
		var r listResult
		if err := xml.Unmarshal(b, &r); err != nil {
			return nil, err
		}
		for _, o := range r.Contents {
			key := o.Key
			if r.EncodingType == "url" { // not every server does as it is asked
				if key, err = url.QueryUnescape(key); err != nil {
					return nil, err
				}
			}
			keys[key] = o.Size
		}
		if !r.IsTruncated {
			return keys, nil
		}
		q.Set("continuation-token", r.NextContinuationToken)
	}
}

// isHollow tells whether the server lists a prefix below which there is no key. MinIO does where
// a deletion met another request: it has left a folder on its disk.
func (c client) isHollow(bucket, prefix string) (bool, error) {
	keys, err := c.list(bucket, prefix)
	if err != nil || len(keys) > 0 {
		return false, err
	}
	b, _, err := c.call("GET", bucket, "", url.Values{"list-type": {"2"}, "prefix": {strings.TrimSuffix(prefix, "/")}, "delimiter": {"/"}}, nil)
	if err != nil {
		return false, err
	}
	var r listResult
	err = xml.Unmarshal(b, &r)
	return slices.ContainsFunc(r.CommonPrefixes, func(p listPrefix) bool { return p.Prefix == prefix }), err
}

// uploadedParts returns how many parts, and bytes in them, the unfinished
// uploads of a key have.
func (c client) uploadedParts(bucket, key string) (parts int, bytes int64, err error) {
	b, _, err := c.call("GET", bucket, "", url.Values{"uploads": {""}, "prefix": {key}}, nil)
	if err != nil {
		return 0, 0, err
	}
	var ups struct {
		Upload []struct{ Key, UploadId string }
	}
	if err := xml.Unmarshal(b, &ups); err != nil {
		return 0, 0, err
	}
	for _, up := range ups.Upload {
		b, _, err := c.call("GET", bucket, up.Key, url.Values{"uploadId": {up.UploadId}}, nil)
		if err != nil {
			return 0, 0, err
		}
		var list struct {
			Part []struct{ Size string }
		}
		if err := xml.Unmarshal(b, &list); err != nil {
			return 0, 0, err
		}
		for _, p := range list.Part {
			n, _ := strconv.ParseInt(p.Size, 10, 64)
			parts, bytes = parts+1, bytes+n
		}
	}
	return parts, bytes, nil
}
