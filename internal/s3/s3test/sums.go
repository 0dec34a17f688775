package s3test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"hash/crc32"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"s3mount/internal/sum"
)

// Sums is the checksums that a server knows.
type Sums int

// AllSums is what AWS, MinIO and versitygw know. Others refuse what they do not know,
// with 501, or with 400; some ignore it, or do not combine those of parts. All know Content-MD5.
const (
	AllSums             Sums = iota
	RefuseCRC32C             // 501
	RefuseCRC32CWith400      // "Unsupported header"
	RefuseAllCRC             // 501
	IgnoreAllCRC
	IgnoreTypes // of parts with CRC32C, objects get a checksum of checksums
)

const (
	crc32cHeader = "X-Amz-Checksum-Crc32c"
	crc32Header  = "X-Amz-Checksum-Crc32"
	typeHeader   = "X-Amz-Checksum-Type"

	algorithmHeader = "X-Amz-Checksum-Algorithm"
)

var errSums = &fault{501, "NotImplemented", "A header you provided implies functionality that is not implemented"}

// headerOf is the header of the checksum that a request or a new upload names.
func headerOf(algorithm string) string {
	switch strings.ToUpper(algorithm) {
	case "CRC64NVME":
		return crc64Header
	case "CRC32C":
		return crc32cHeader
	case "CRC32":
		return crc32Header
	}
	return ""
}

// declared is the header that the parts of a new upload carry. It needs the lock.
func (s *Server) declared(algorithm string) string {
	if s.mu.sums == IgnoreAllCRC {
		return ""
	}
	return headerOf(algorithm)
}

// sentSum is the checksum of a request that the server looks at.
func (c *call) sentSum() (header, value string) {
	c.s.mu.Lock()
	ignore := c.s.mu.sums == IgnoreAllCRC
	c.s.mu.Unlock()
	for _, h := range []string{crc64Header, crc32cHeader, crc32Header} {
		if v := c.Header.Get(h); v != "" && !ignore {
			return h, v
		}
	}
	return "", ""
}

// knowsSums refuses a request with a checksum that the server does not know. The
// caller does not hold the lock.
func (c *call) knowsSums() error {
	header, _ := c.sentSum()
	if header == "" {
		header = headerOf(c.Header.Get(algorithmHeader))
	}
	c.s.mu.Lock()
	known := c.s.mu.sums
	c.s.mu.Unlock()
	switch {
	case known == RefuseCRC32C && header == crc32cHeader, known == RefuseAllCRC && header != "":
		return errSums
	case known == RefuseCRC32CWith400 && header == crc32cHeader:
		return &fault{400, "InvalidArgument", "Unsupported header 'x-amz-checksum-crc32c' received for this API call."}
	}
	return nil
}

// sumHolds compares what was sent with the bytes.
func (c *call) sumHolds(data []byte) bool {
	if want := c.Header.Get("Content-Md5"); want != "" {
		own := md5.Sum(data)
		if want != base64.StdEncoding.EncodeToString(own[:]) {
			return false
		}
	}
	header, want := c.sentSum()
	return header == "" || want == sumIn(header, data)
}

// SumOf is the checksum of data as headers have it: CRC64NVME, CRC32C or CRC32.
func SumOf(algorithm string, data []byte) string { return sumIn(headerOf(algorithm), data) }

// sumIn is the checksum of data as that header has it.
func sumIn(header string, data []byte) string {
	sums := sum.Of(data)
	raw := binary.BigEndian.AppendUint32(nil, sums.CRC32C)
	switch header {
	case crc64Header:
		raw = binary.BigEndian.AppendUint64(nil, sums.CRC64NVME)
	case crc32Header:
		raw = binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// echoSum names the checksum in the answer.
func (c *call) echoSum(w *answer) {
	if header, value := c.sentSum(); header != "" {
		w.Header().Set(header, value)
	}
}

type taggingResult struct {
	XMLName xml.Name `xml:"Tagging"`
	TagSet  struct{ Tag []tag }
}

type tag struct{ Key, Value string }

// tagging answers with the tags of an object.
func (c *call) tagging(w *answer) error {
	o, err := c.find()
	if err != nil {
		return err
	}
	tags, err := url.ParseQuery(o.header.Get(taggingHeader))
	if err != nil {
		return errArgument
	}
	var out taggingResult
	for k := range tags {
		out.TagSet.Tag = append(out.TagSet.Tag, tag{k, tags.Get(k)})
	}
	slices.SortFunc(out.TagSet.Tag, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	w.xml(http.StatusOK, out)
	return nil
}
