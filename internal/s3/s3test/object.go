package s3test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// object is one version of one object.
type object struct {
	data    io.ReaderAt
	size    int64
	etag    string
	version string
	at      time.Time
	header  http.Header // Content-Type and the like, X-Amz-Meta-*, storage class

	sumHeader, sum string       // its checksum; may be empty
	parts          []sealedPart // with a checksum each; the sum is one of those
}

// upload is a multipart upload that is not completed.
type upload struct {
	bucket, key string
	header      http.Header
	sums        string // header of the checksum that its parts carry; empty: none
	parts       map[int]*part
	at          time.Time

	algorithm, kind string // of its checksum, as it was created and as answers say; empty: they do not
}

type part struct {
	data io.ReaderAt
	size int64
	etag string
	crc  string // as in the header; may be empty
}

// Upload is an unfinished upload, as Uploads tells it.
type Upload struct {
	Key, ID string
	Parts   map[int]int64 // sizes
}

// PutObject stores an object of the bucket Name and returns its ETag. header
// may be nil, or carry Content-Type, X-Amz-Meta-..., X-Amz-Storage-Class.
func (s *Server) PutObject(key string, data []byte, header http.Header) string {
	o := &object{data: strings.NewReader(string(data)), size: int64(len(data)), etag: etagOf(data), header: header.Clone()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(Name, key, o)
	return o.etag
}

// PutUntagged stores an object that has no ETag, as versitygw has files that it found.
func (s *Server) PutUntagged(key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(Name, key, &object{data: strings.NewReader(string(data)), size: int64(len(data))})
}

// PutPattern stores an object of size bytes that takes no memory. Its bytes are
// those of Pattern.
func (s *Server) PutPattern(key string, size int64) string {
	return s.PutPatternWith(key, size, nil)
}

// PutPatternWith is PutPattern for an object with a header, as by PutObject.
func (s *Server) PutPatternWith(key string, size int64, header http.Header) string {
	o := &object{data: Pattern{}, size: size, etag: etagOf(fmt.Appendf(nil, "%s %d", key, size)), header: header.Clone()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(Name, key, o)
	return o.etag
}

// Touch gives an object another header, and leaves its time.
func (s *Server) Touch(key string, header http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.objects[Name+"/"+key].header = header.Clone()
}

// Seal takes a checksum of an object of the bucket Name, to be told to who asks: CRC64NVME,
// CRC32C or CRC32.
func (s *Server) Seal(key, algorithm string) {
	data, _ := s.Object(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.mu.objects[Name+"/"+key]; o != nil {
		o.sumHeader = headerOf(algorithm)
		o.sum = sumIn(o.sumHeader, data)
	}
}

// Object gives the bytes of an object of the bucket Name.
func (s *Server) Object(key string) (data []byte, ok bool) {
	s.mu.Lock()
	o := s.mu.objects[Name+"/"+key]
	s.mu.Unlock()
	if o == nil {
		return nil, false
	}
	data = make([]byte, o.size)
	if _, err := o.data.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, false
	}
	return data, true
}

// Header gives what an object carries besides its bytes; nil when it is not there.
func (s *Server) Header(key string) http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.mu.objects[Name+"/"+key]
	if o == nil {
		return nil
	}
	h := o.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("ETag", o.etag)
	return h
}

// Keys lists the bucket Name.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, k := range s.sortedKeys() {
		if key, ok := strings.CutPrefix(k, Name+"/"); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// Delete removes an object of the bucket Name.
func (s *Server) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.objects, Name+"/"+key)
	s.mu.keys = nil
}

// Uploads lists what is neither completed nor aborted.
func (s *Server) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Upload
	for _, id := range slices.Sorted(maps.Keys(s.mu.uploads)) {
		u := s.mu.uploads[id]
		up := Upload{Key: u.key, ID: id, Parts: map[int]int64{}}
		for n, p := range u.parts {
			up.Parts[n] = p.size
		}
		out = append(out, up)
	}
	return out
}

// DropUploads forgets all unfinished uploads, as stores do after some days.
func (s *Server) DropUploads() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.mu.uploads)
}

// store needs the lock.
func (s *Server) store(bucket, key string, o *object) {
	o.at = time.Now()
	if o.header == nil {
		o.header = http.Header{}
	}
	if s.mu.versioned {
		s.mu.serial++
		o.version = fmt.Sprintf("v%d", s.mu.serial)
		s.mu.versions[o.version] = o
	}
	if s.mu.objects[bucket+"/"+key] == nil {
		s.mu.keys = nil
	}
	s.mu.objects[bucket+"/"+key] = o
}

func etagOf(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// Pattern is endless bytes that depend on their offset only: eight by eight,
// a mixed-up offset / 8, little endian.
type Pattern struct{}

// ReadAt fills p with the bytes at off.
func (Pattern) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i < len(p); {
		at := uint64(off) + uint64(i)
		word := mix(at / 8)
		for k := at % 8; k < 8 && i < len(p); k++ {
			p[i] = byte(word >> (8 * k))
			i++
		}
	}
	return len(p), nil
}

// mix spreads the bits of x (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// joined is several runs of bytes, one after the other.
type joined []*part

func (j joined) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for _, x := range j {
		if off >= x.size {
			off -= x.size
			continue
		}
		n := min(int64(len(p)-done), x.size-off)
		if _, err := x.data.ReadAt(p[done:done+int(n)], off); err != nil && err != io.EOF {
			return done, err
		}
		done += int(n)
		off = 0
		if done == len(p) {
			return done, nil
		}
	}
	return done, io.EOF
}
