package s3test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// fault is an error answer.
type fault struct {
	status        int
	code, message string
}

func (f *fault) Error() string { return f.code + ": " + f.message }

var (
	errNoBucket     = &fault{404, "NoSuchBucket", "The specified bucket does not exist"}
	errNoKey        = &fault{404, "NoSuchKey", "The specified key does not exist."}
	errNoUpload     = &fault{404, "NoSuchUpload", "The specified upload does not exist."}
	errPrecondition = &fault{412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"}
	errRange        = &fault{416, "InvalidRange", "The requested range is not satisfiable"}
	errArchived     = &fault{403, "InvalidObjectState", "The operation is not valid for the object's storage class"}
	errDigest       = &fault{400, "BadDigest", "The checksum you specified did not match what we received."}
	errTooSmall     = &fault{400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"}
	errPart         = &fault{400, "InvalidPart", "One or more of the specified parts could not be found."}
	errPartOrder    = &fault{400, "InvalidPartOrder", "The list of parts was not in ascending order."}
	errArgument     = &fault{400, "InvalidArgument", "Invalid argument"}
	errMethod       = &fault{405, "MethodNotAllowed", "The specified method is not allowed against this resource."}
	errBody         = &fault{400, "IncompleteBody", "You did not provide the number of bytes specified"}
)

// call is one request, taken apart.
type call struct {
	*http.Request
	s           *Server
	bucket, key string
	op          string
	log         *Request
}

// ServeHTTP answers one request; it lets the fake stand behind a real socket too.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.newCall(r)
	out := &answer{ResponseWriter: w, s: s, r: r}
	s.mu.Lock()
	s.mu.requests = append(s.mu.requests, c.log)
	script := s.mu.fault
	s.mu.serial++
	id := fmt.Sprintf("%016X", s.mu.serial)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.log.Sent, c.log.Status, c.log.End = out.sent, out.status, time.Now()
	}()
	w.Header().Set("X-Amz-Request-Id", id)
	if script != nil {
		out.fault = script(r)
	}
	if out.fault != nil && out.fault.Late != nil {
		s.late(c, out.fault.Late)
	}
	if out.fault != nil && s.before(out, r, out.fault) {
		return
	}
	err := s.route(out, c)
	var f *fault
	if errors.As(err, &f) {
		out.fail(r, f)
	}
}

func (s *Server) newCall(r *http.Request) *call {
	c := &call{Request: r, s: s}
	c.bucket, c.key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	c.op = c.operation()
	c.log = &Request{Op: c.op, Method: r.Method, Bucket: c.bucket, Key: c.key, Query: r.URL.Query(), Header: r.Header.Clone(),
		Range: r.Header.Get("Range"), Start: time.Now()}
	return c
}

// Op is the name of the S3 operation that a request asks for; fault scripts use it.
func Op(r *http.Request) string {
	c := &call{Request: r}
	c.bucket, c.key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return c.operation()
}

func (c *call) operation() string {
	q := c.URL.Query()
	copies := c.Header.Get("X-Amz-Copy-Source") != ""
	switch {
	case c.key == "" && c.Method == http.MethodHead:
		return "HeadBucket"
	case c.key == "" && c.Method == http.MethodGet && q.Has("uploads"):
		return "ListMultipartUploads"
	case c.key == "" && c.Method == http.MethodGet:
		return "ListObjectsV2"
	case c.key == "" && c.Method == http.MethodPost && q.Has("delete"):
		return "DeleteObjects"
	case c.key == "":
		return "unknown"
	case c.Method == http.MethodHead:
		return "HeadObject"
	case c.Method == http.MethodGet && q.Has("tagging"):
		return "GetObjectTagging"
	case c.Method == http.MethodGet && q.Has("attributes"):
		return "GetObjectAttributes"
	case c.Method == http.MethodGet && q.Has("uploadId"):
		return "ListParts"
	case c.Method == http.MethodGet:
		return "GetObject"
	case c.Method == http.MethodPut && q.Has("uploadId") && copies:
		return "UploadPartCopy"
	case c.Method == http.MethodPut && q.Has("uploadId"):
		return "UploadPart"
	case c.Method == http.MethodPut && copies:
		return "CopyObject"
	case c.Method == http.MethodPut:
		return "PutObject"
	case c.Method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case c.Method == http.MethodPost && q.Has("uploadId"):
		return "CompleteMultipartUpload"
	case c.Method == http.MethodDelete && q.Has("uploadId"):
		return "AbortMultipartUpload"
	case c.Method == http.MethodDelete:
		return "DeleteObject"
	}
	return "unknown"
}

func (s *Server) route(w *answer, c *call) error {
	s.mu.Lock()
	exists := s.mu.buckets[c.bucket]
	s.mu.Unlock()
	if !exists {
		return errNoBucket
	}
	switch c.op {
	case "HeadBucket":
		w.WriteHeader(http.StatusOK)
		return nil
	case "ListObjectsV2":
		return c.list(w)
	case "HeadObject", "GetObject":
		return c.get(w)
	case "GetObjectTagging":
		return c.tagging(w)
	case "GetObjectAttributes":
		return c.attributes(w)
	case "PutObject":
		return c.put(w)
	case "CopyObject":
		return c.copyObject(w)
	case "DeleteObjects":
		return c.deleteAll(w)
	case "DeleteObject":
		s.mu.Lock()
		delete(s.mu.objects, c.bucket+"/"+c.key)
		s.mu.keys = nil
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return c.routeUpload(w)
}

func (c *call) routeUpload(w *answer) error {
	switch c.op {
	case "CreateMultipartUpload":
		return c.create(w)
	case "UploadPart":
		return c.uploadPart(w)
	case "UploadPartCopy":
		return c.uploadPartCopy(w)
	case "ListParts":
		return c.listParts(w)
	case "CompleteMultipartUpload":
		return c.complete(w)
	case "AbortMultipartUpload":
		return c.abort(w)
	case "ListMultipartUploads":
		return c.listUploads(w)
	}
	return errMethod
}

// body reads all that was sent.
func (c *call) body() ([]byte, error) {
	if c.ContentLength < 0 {
		return nil, errArgument
	}
	data := make([]byte, c.ContentLength)
	n, err := io.ReadFull(c.Body, data)
	c.s.mu.Lock()
	c.log.Bytes = int64(n)
	c.s.mu.Unlock()
	if err != nil && len(data) > 0 {
		return nil, errBody
	}
	return data, nil
}

// fail answers with an error, which has a body except after HEAD.
func (a *answer) fail(r *http.Request, f *fault) {
	if r.Method == http.MethodHead {
		a.WriteHeader(f.status)
		return
	}
	a.xml(f.status, struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: f.code, Message: f.message})
}

func (a *answer) xml(status int, v any) {
	out, err := xml.Marshal(v)
	if err != nil {
		panic(err)
	}
	a.Header().Set("Content-Type", "application/xml")
	a.Header().Set("Content-Length", fmt.Sprint(len(out)+len(xml.Header)))
	a.WriteHeader(status)
	a.Write(append([]byte(xml.Header), out...))
}
