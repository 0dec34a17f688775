package s3test

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	isoTime       = "2006-01-02T15:04:05.000Z"
	crc64Header   = "X-Amz-Checksum-Crc64nvme"
	taggingHeader = "X-Amz-Tagging"
)

// keptHeaders are stored with an object, beside X-Amz-Meta-*.
var keptHeaders = []string{
	"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires", "X-Amz-Storage-Class",
	"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", taggingHeader,
}

// kept picks what an object keeps of the headers of a request.
func kept(h http.Header) http.Header {
	out := http.Header{}
	for k, v := range h {
		if strings.HasPrefix(k, "X-Amz-Meta-") {
			out[k] = v
		}
	}
	for _, k := range keptHeaders {
		if v := h.Get(k); v != "" {
			out.Set(k, v)
		}
	}
	return out
}

// checkWrite holds the preconditions of a write against what is there. It needs the lock.
func (c *call) checkWrite() error {
	if c.s.mu.ignore {
		return nil
	}
	o := c.s.mu.objects[c.bucket+"/"+c.key]
	if c.Header.Get("If-None-Match") == "*" && o != nil {
		return errPrecondition
	}
	if want := c.Header.Get("If-Match"); want != "" {
		if o == nil {
			return errNoKey
		}
		if o.etag != want {
			return errPrecondition
		}
	}
	return nil
}

func (c *call) put(w *answer) error {
	c.s.mu.Lock()
	err := c.checkWrite()
	c.s.mu.Unlock()
	if err != nil {
		return err // before the body is read: a client that waits need not send it
	}
	data, err := c.body()
	if err != nil {
		return err
	}
	if err := c.knowsSums(); err != nil { // behind the body: else the connection may break while it is sent
		return err
	}
	if !c.sumHolds(data) {
		return errDigest
	}
	c.echoSum(w)
	o := &object{data: bytes.NewReader(data), size: int64(len(data)), etag: etagOf(data), header: kept(c.Header)}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err := c.checkWrite(); err != nil {
		return err
	}
	c.s.store(c.bucket, c.key, o)
	w.written(o)
	return nil
}

func (a *answer) written(o *object) {
	a.Header().Set("ETag", o.etag)
	if o.version != "" {
		a.Header().Set("X-Amz-Version-Id", o.version)
	}
	a.WriteHeader(http.StatusOK)
}

// find gives the object a read asks for.
func (c *call) find() (*object, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	o := c.s.mu.objects[c.bucket+"/"+c.key]
	if id := c.URL.Query().Get("versionId"); id != "" {
		o = c.s.mu.versions[id]
	}
	if o == nil {
		return nil, errNoKey
	}
	if want := c.Header.Get("If-Match"); want != "" && want != o.etag && !c.s.mu.ignore {
		return nil, errPrecondition
	}
	return o, nil
}

func (c *call) get(w *answer) error {
	o, err := c.find()
	if err != nil {
		return err
	}
	class := o.header.Get("X-Amz-Storage-Class")
	restored := strings.Contains(o.header.Get("X-Amz-Restore"), `ongoing-request="false"`)
	if c.op == "GetObject" && (class == "GLACIER" || class == "DEEP_ARCHIVE") && !restored {
		return errArchived
	}
	off, n, status := int64(0), o.size, http.StatusOK
	if spec := c.Header.Get("Range"); spec != "" {
		var ok bool
		if off, n, ok = parseRange(spec, o.size); !ok {
			return errRange
		}
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, o.size))
	}
	for k, v := range o.header {
		w.Header()[k] = v
	}
	w.Header().Del(taggingHeader)
	if tags, _ := url.ParseQuery(o.header.Get(taggingHeader)); len(tags) > 0 {
		w.Header().Set("X-Amz-Tagging-Count", strconv.Itoa(len(tags)))
	}
	if o.version != "" {
		w.Header().Set("X-Amz-Version-Id", o.version)
	}
	if o.sum != "" && status == http.StatusOK && c.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		w.Header().Set(o.sumHeader, o.sum)
		if len(o.parts) > 0 {
			w.Header().Set(typeHeader, "COMPOSITE")
		}
	}
	if o.etag != "" {
		w.Header().Set("ETag", o.etag)
	}
	w.Header().Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.WriteHeader(status)
	if c.op == "HeadObject" {
		return nil
	}
	io.CopyBuffer(struct{ io.Writer }{w}, io.NewSectionReader(o.data, off, n), make([]byte, 64<<10))
	return nil
}

// parseRange reads "bytes=a-b".
func parseRange(spec string, size int64) (off, n int64, ok bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(spec, "bytes="), "-")
	if !ok {
		return 0, 0, false
	}
	off, err := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	if err != nil || off >= size || off < 0 {
		return 0, 0, false
	}
	if err2 != nil || end >= size {
		end = size - 1
	}
	return off, end - off + 1, end >= off
}

// source finds the object a copy reads.
func (c *call) source() (*object, error) {
	path, version, _ := strings.Cut(strings.TrimPrefix(c.Header.Get("X-Amz-Copy-Source"), "/"), "?versionId=")
	path, err := url.PathUnescape(path)
	if err != nil {
		return nil, errArgument
	}
	o := c.s.mu.objects[path]
	if version != "" {
		o = c.s.mu.versions[version]
	}
	if o == nil {
		return nil, errNoKey
	}
	if want := c.Header.Get("X-Amz-Copy-Source-If-Match"); want != "" && want != o.etag && !c.s.mu.ignore {
		return nil, errPrecondition
	}
	if since, err := http.ParseTime(c.Header.Get("X-Amz-Copy-Source-If-Unmodified-Since")); err == nil && o.at.After(since) {
		return nil, errPrecondition
	}
	return o, nil
}

type copyResult struct {
	XMLName      xml.Name
	LastModified string
	ETag         string
}

func (c *call) copyObject(w *answer) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	src, err := c.source()
	if err != nil {
		return err
	}
	if c.s.mu.copyConds {
		if err := c.checkWrite(); err != nil {
			return err
		}
	}
	o := &object{data: src.data, size: src.size, etag: src.etag, header: kept(c.Header)}
	if o.etag == "" {
		o.etag = etagOf([]byte(c.key))
	}
	if c.Header.Get("X-Amz-Metadata-Directive") != "REPLACE" {
		o.header = src.header.Clone()
		for _, placed := range []string{"X-Amz-Storage-Class", "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"} {
			o.header.Del(placed)
			if v := c.Header.Get(placed); v != "" {
				o.header.Set(placed, v)
			}
		}
	}
	if c.Header.Get("X-Amz-Tagging-Directive") != "REPLACE" {
		if tags := src.header.Get(taggingHeader); tags != "" {
			o.header.Set(taggingHeader, tags)
		}
	}
	c.s.store(c.bucket, c.key, o)
	if o.version != "" {
		w.Header().Set("X-Amz-Version-Id", o.version)
	}
	w.xml(http.StatusOK, copyResult{xml.Name{Local: "CopyObjectResult"}, o.at.UTC().Format(isoTime), o.etag})
	return nil
}

type listResult struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	KeyCount              int
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listedObject
	CommonPrefixes        []listedPrefix
}

type listedObject struct {
	Key, LastModified, ETag string
	Size                    int64
	StorageClass            string
}

type listedPrefix struct{ Prefix string }

func (c *call) list(w *answer) error {
	q := c.URL.Query()
	limit := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		limit = min(n, limit)
	}
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" {
		raw, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			return errArgument
		}
		after = string(raw)
	}
	encode := func(s string) string { return s }
	out := listResult{Name: c.bucket, EncodingType: q.Get("encoding-type")}
	if out.EncodingType == "url" {
		encode = url.QueryEscape
	}
	c.s.mu.Lock()
	last := c.collect(&out, q.Get("prefix"), q.Get("delimiter"), after, limit, encode)
	if c.s.mu.unordered {
		out.Contents = shuffled(out.Contents)
		out.CommonPrefixes = shuffled(out.CommonPrefixes)
	}
	c.s.mu.Unlock()
	if out.IsTruncated {
		out.NextContinuationToken = base64.StdEncoding.EncodeToString([]byte(last))
	}
	w.xml(http.StatusOK, out)
	return nil
}

// shuffled puts every other element in front.
func shuffled[T any](list []T) (out []T) {
	for first := range 2 {
		for i := 1 - first; i < len(list); i += 2 {
			out = append(out, list[i])
		}
	}
	return out
}

// collect fills a page and returns where it ended. It needs the lock.
func (c *call) collect(out *listResult, prefix, delimiter, after string, limit int, encode func(string) string) (last string) {
	for _, full := range c.s.keysAfter(c.bucket, max(prefix, after)) {
		key := strings.TrimPrefix(full, c.bucket+"/")
		if !strings.HasPrefix(key, prefix) {
			if key > prefix {
				break
			}
			continue
		}
		folded := ""
		if delimiter != "" {
			if i := strings.Index(key[len(prefix):], delimiter); i >= 0 {
				folded = key[:len(prefix)+i+len(delimiter)]
			}
		}
		if key <= after || folded != "" && (folded <= after || folded == last) {
			continue
		}
		if out.KeyCount == limit {
			out.IsTruncated = true
			return last
		}
		out.KeyCount++
		if folded != "" {
			last = folded
			out.CommonPrefixes = append(out.CommonPrefixes, listedPrefix{encode(folded)})
			continue
		}
		last = key
		o := c.s.mu.objects[full]
		class := o.header.Get("X-Amz-Storage-Class")
		if class == "" {
			class = "STANDARD"
		}
		out.Contents = append(out.Contents, listedObject{encode(key), o.at.UTC().Truncate(time.Second).Format(isoTime), o.etag, o.size, class})
	}
	return last
}

// deleteAll removes the objects that the body names.
func (c *call) deleteAll(w *answer) error {
	data, err := c.body()
	if err != nil {
		return err
	}
	var names struct{ Object []struct{ Key string } }
	if err := xml.Unmarshal(data, &names); err != nil {
		return err
	}
	c.s.mu.Lock()
	for _, o := range names.Object {
		delete(c.s.mu.objects, c.bucket+"/"+o.Key)
	}
	c.s.mu.keys = nil
	c.s.mu.Unlock()
	_, err = io.WriteString(w, "<DeleteResult/>")
	return err
}
