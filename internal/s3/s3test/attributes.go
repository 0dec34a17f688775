package s3test

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
)

// attributesPage is how many parts an answer lists: few, so that tests see several pages.
const attributesPage = 4

// SealParts makes an object of the bucket Name look as if another client had uploaded it in
// parts of that size, each with its checksum, and returns its ETag.
func (s *Server) SealParts(key, algorithm string, size int64) (etag string) {
	data, _ := s.Object(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.mu.objects[Name+"/"+key]
	o.sumHeader, o.parts = headerOf(algorithm), nil
	var raw []byte
	for off := int64(0); off < o.size; off += size {
		part := data[off:min(off+size, o.size)]
		p := sealedPart{Size: int64(len(part)), crc: sumIn(o.sumHeader, part)}
		digest, _ := base64.StdEncoding.DecodeString(p.crc)
		raw = append(raw, digest...)
		o.parts = append(o.parts, p)
	}
	o.sum = fmt.Sprintf("%s-%d", sumIn(o.sumHeader, raw), len(o.parts))
	o.etag = fmt.Sprintf(`%s-%d"`, o.etag[:len(o.etag)-1], len(o.parts))
	return o.etag
}

// sealedPart is a part as the attributes of an object tell it.
type sealedPart struct {
	PartNumber        int
	Size              int64
	ChecksumCRC64NVME string `xml:",omitempty"`
	ChecksumCRC32C    string `xml:",omitempty"`
	ChecksumCRC32     string `xml:",omitempty"`

	crc string
}

// attributes lists the parts of an object.
func (c *call) attributes(w *answer) error {
	o, err := c.find()
	if err != nil {
		return err
	}
	type objectParts struct {
		TotalPartsCount      int
		IsTruncated          bool
		NextPartNumberMarker int
		Part                 []sealedPart
	}
	out := struct {
		XMLName     xml.Name `xml:"GetObjectAttributesResponse"`
		ETag        string
		ObjectParts *objectParts `xml:",omitempty"`
	}{ETag: o.etag[1 : len(o.etag)-1]}
	if len(o.parts) > 0 {
		after, _ := strconv.Atoi(c.Header.Get("X-Amz-Part-Number-Marker"))
		end := min(after+attributesPage, len(o.parts))
		out.ObjectParts = &objectParts{TotalPartsCount: len(o.parts), IsTruncated: end < len(o.parts), NextPartNumberMarker: end}
		for i, p := range o.parts[after:end] {
			p.PartNumber = after + i + 1
			switch o.sumHeader {
			case crc64Header:
				p.ChecksumCRC64NVME = p.crc
			case crc32cHeader:
				p.ChecksumCRC32C = p.crc
			case crc32Header:
				p.ChecksumCRC32 = p.crc
			}
			out.ObjectParts.Part = append(out.ObjectParts.Part, p)
		}
	}
	w.Header().Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	w.xml(http.StatusOK, out)
	return nil
}
