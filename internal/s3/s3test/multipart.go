package s3test

import (
	"bytes"
	"crypto/md5"
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

// keysAfter gives the full keys of a bucket from the one given on. It needs the lock.
func (s *Server) keysAfter(bucket, from string) []string {
	keys := s.sortedKeys()
	start := sort.SearchStrings(keys, bucket+"/"+from)
	end := start
	for end < len(keys) && strings.HasPrefix(keys[end], bucket+"/") {
		end++
	}
	return keys[start:end]
}

func (c *call) create(w *answer) error {
	if err := c.knowsSums(); err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.mu.serial++
	id := fmt.Sprintf("upload-%d", c.s.mu.serial)
	c.s.mu.uploads[id] = &upload{
		bucket: c.bucket, key: c.key, header: kept(c.Header), parts: map[int]*part{}, at: time.Now(),
		sums: c.s.declared(c.Header.Get(algorithmHeader)),
	}
	u := c.s.mu.uploads[id]
	if u.sums != "" {
		u.algorithm = c.Header.Get(algorithmHeader)
		w.Header().Set(algorithmHeader, u.algorithm)
	}
	if c.s.mu.sums != IgnoreTypes && c.Header.Get(typeHeader) != "" {
		u.kind = c.Header.Get(typeHeader)
		w.Header().Set(typeHeader, u.kind)
	}
	w.xml(http.StatusOK, struct {
		XMLName               xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket, Key, UploadId string
	}{Bucket: c.bucket, Key: c.key, UploadId: id})
	return nil
}

// upload finds the one a request names. It needs the lock.
func (c *call) upload() (*upload, error) {
	u := c.s.mu.uploads[c.URL.Query().Get("uploadId")]
	if u == nil || u.key != c.key || u.bucket != c.bucket {
		return nil, errNoUpload
	}
	return u, nil
}

func (c *call) partNumber() (int, error) {
	n, err := strconv.Atoi(c.URL.Query().Get("partNumber"))
	if err != nil || n < 1 || n > 10000 {
		return 0, errArgument
	}
	return n, nil
}

func (c *call) uploadPart(w *answer) error {
	n, err := c.partNumber()
	if err != nil {
		return err
	}
	c.s.mu.Lock()
	u, err := c.upload()
	c.s.mu.Unlock()
	if err != nil {
		return err
	}
	data, err := c.body()
	if err != nil {
		return err
	}
	if err := c.knowsSums(); err != nil { // behind the body: else the connection may break while it is sent
		return err
	}
	sum := c.Header.Get(u.sums)
	if header, _ := c.sentSum(); u.sums != header {
		return errArgument // real servers differ here; clients must not do it
	}
	if !c.sumHolds(data) {
		return errDigest
	}
	c.echoSum(w)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if u, err = c.upload(); err != nil {
		return err
	}
	u.parts[n] = &part{data: bytes.NewReader(data), size: int64(len(data)), etag: etagOf(data), crc: sum}
	w.Header().Set("ETag", u.parts[n].etag)
	w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) uploadPartCopy(w *answer) error {
	n, err := c.partNumber()
	if err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	u, err := c.upload()
	if err != nil {
		return err
	}
	src, err := c.source()
	if err != nil {
		return err
	}
	if u.sums != "" {
		return errArgument // as some real servers
	}
	off, size := int64(0), src.size
	if spec := c.Header.Get("X-Amz-Copy-Source-Range"); spec != "" {
		var ok bool
		if off, size, ok = parseRange(spec, src.size); !ok {
			return errArgument
		}
	}
	etag := etagOf(fmt.Appendf(nil, "%s %d %d", src.etag, off, size))
	u.parts[n] = &part{data: io.NewSectionReader(src.data, off, size), size: size, etag: etag}
	w.xml(http.StatusOK, copyResult{xml.Name{Local: "CopyPartResult"}, time.Now().UTC().Format(isoTime), etag})
	return nil
}

type listedPart struct {
	PartNumber        int
	LastModified      string
	ETag              string
	Size              int64
	ChecksumCRC64NVME string `xml:",omitempty"`
	ChecksumCRC32C    string `xml:",omitempty"`
	ChecksumCRC32     string `xml:",omitempty"`
}

func (c *call) listParts(w *answer) error {
	q := c.URL.Query()
	limit, after := 1000, 0
	if n, err := strconv.Atoi(q.Get("max-parts")); err == nil {
		limit = n
	}
	if n, err := strconv.Atoi(q.Get("part-number-marker")); err == nil {
		after = n
	}
	out := struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		IsTruncated          bool
		NextPartNumberMarker int
		ChecksumAlgorithm    string `xml:",omitempty"`
		ChecksumType         string `xml:",omitempty"`
		Part                 []listedPart
	}{}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	u, err := c.upload()
	if err != nil {
		return err
	}
	out.ChecksumAlgorithm, out.ChecksumType = u.algorithm, u.kind
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= after {
			continue
		}
		if len(out.Part) == limit {
			out.IsTruncated = true
			break
		}
		p := u.parts[n]
		l := listedPart{PartNumber: n, LastModified: time.Now().UTC().Format(isoTime), ETag: p.etag, Size: p.size}
		switch u.sums {
		case crc64Header:
			l.ChecksumCRC64NVME = p.crc
		case crc32cHeader:
			l.ChecksumCRC32C = p.crc
		case crc32Header:
			l.ChecksumCRC32 = p.crc
		}
		out.Part = append(out.Part, l)
		out.NextPartNumberMarker = n
	}
	w.xml(http.StatusOK, out)
	return nil
}

type completeRequest struct {
	Part []struct {
		PartNumber        int
		ETag              string
		ChecksumCRC64NVME string
		ChecksumCRC32C    string
		ChecksumCRC32     string
	}
}

func (c *call) complete(w *answer) error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var asked completeRequest
	if xml.Unmarshal(raw, &asked) != nil {
		return &fault{400, "MalformedXML", "The XML you provided was not well-formed"}
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	u, err := c.upload()
	if err != nil {
		return err
	}
	if err := c.checkWrite(); err != nil {
		return err
	}
	o, err := c.assemble(u, &asked)
	if err != nil {
		return err
	}
	c.s.store(c.bucket, c.key, o)
	delete(c.s.mu.uploads, c.URL.Query().Get("uploadId"))
	if o.version != "" {
		w.Header().Set("X-Amz-Version-Id", o.version)
	}
	w.xml(http.StatusOK, struct {
		XMLName           xml.Name `xml:"CompleteMultipartUploadResult"`
		Bucket, Key, ETag string
	}{Bucket: c.bucket, Key: c.key, ETag: o.etag})
	return nil
}

// assemble makes the object of the parts that were asked for.
func (c *call) assemble(u *upload, asked *completeRequest) (*object, error) {
	o := &object{header: u.header}
	var all joined
	sums := md5.New()
	for i, a := range asked.Part {
		p := u.parts[a.PartNumber]
		etag := strings.Trim(a.ETag, `"`)
		switch {
		case i > 0 && asked.Part[i-1].PartNumber >= a.PartNumber:
			return nil, errPartOrder
		case p == nil || strings.Trim(p.etag, `"`) != etag || u.sums != "" && a.ChecksumCRC64NVME+a.ChecksumCRC32C+a.ChecksumCRC32 != p.crc:
			return nil, errPart
		case i < len(asked.Part)-1 && p.size < c.s.mu.minPart:
			return nil, errTooSmall
		}
		digest, _ := hex.DecodeString(etag)
		sums.Write(digest)
		all = append(all, p)
		o.size += p.size
	}
	if len(all) == 0 {
		return nil, &fault{400, "MalformedXML", "You must specify at least one part"}
	}
	o.data = all
	if want := c.Header.Get(u.sums); want != "" {
		data, err := io.ReadAll(io.NewSectionReader(all, 0, o.size))
		if err != nil || u.kind == "" || sumIn(u.sums, data) != want {
			return nil, errDigest
		}
	}
	o.etag = fmt.Sprintf(`"%x-%d"`, sums.Sum(nil), len(all))
	return o, nil
}

func (c *call) abort(w *answer) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if _, err := c.upload(); err != nil {
		return err
	}
	delete(c.s.mu.uploads, c.URL.Query().Get("uploadId"))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type listedUpload struct{ Key, UploadId, Initiated string }

func (c *call) listUploads(w *answer) error {
	q := c.URL.Query()
	out := struct {
		XMLName      xml.Name `xml:"ListMultipartUploadsResult"`
		EncodingType string   `xml:",omitempty"`
		IsTruncated  bool
		Upload       []listedUpload
	}{EncodingType: q.Get("encoding-type")}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for id, u := range c.s.mu.uploads {
		if u.bucket != c.bucket || !strings.HasPrefix(u.key, q.Get("prefix")) {
			continue
		}
		key := u.key
		if out.EncodingType == "url" {
			key = url.QueryEscape(key)
		}
		out.Upload = append(out.Upload, listedUpload{key, id, u.at.UTC().Format(isoTime)})
	}
	slices.SortFunc(out.Upload, func(a, b listedUpload) int { return strings.Compare(a.Key+a.UploadId, b.Key+b.UploadId) })
	w.xml(http.StatusOK, out)
	return nil
}
