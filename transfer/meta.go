package transfer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

// Meta is what a file carries besides its bytes.
type Meta = journal.Meta

// User metadata that s3mount writes. The names and formats are those of s3fs, and
// rclone reads mtime as well.
// Source: https://github.com/s3fs-fuse/s3fs-fuse/wiki/Fuse-Over-Amazon and rclone's
// documentation of its S3 backend.
const (
	metaMtime       = "mtime" // seconds since 1970 with 9 decimals
	metaAtime       = "atime" // as mtime; left out where it is the same
	metaCtime       = "ctime" // likewise
	metaMode        = "mode"  // decimal, with the file type
	metaUID         = "uid"
	metaGID         = "gid"
	metaXattr       = "xattr" // URL-encoded JSON object, values in base64
	metaPublication = "s3mount-id"
)

// File types in Meta.Mode, as in stat(2).
const (
	ModeType = 0o170000
	ModeFile = 0o100000
	ModeDir  = 0o040000
	ModeLink = 0o120000
)

// NewPublication is an ID by which a publication is recognised.
func NewPublication() string { return journal.NewID() }

// Properties is the form in which meta travels with the object at key.
// publication is stored with it when it is not empty.
func Properties(m *Meta, key, publication string) s3.Properties {
	p := s3.Properties{
		ContentType:        m.ContentType,
		CacheControl:       m.CacheControl,
		ContentDisposition: m.ContentDisposition,
		ContentEncoding:    m.ContentEncoding,
		ContentLanguage:    m.ContentLanguage,
		Expires:            m.Expires,
		StorageClass:       m.StorageClass,
		SSE:                m.SSE,
		SSEKMSKey:          m.SSEKMSKey,
		BucketKey:          m.BucketKey,
		TagCount:           m.TagCount,
		Meta:               map[string]string{},
	}
	maps.Copy(p.Meta, m.Foreign)
	if p.ContentType == "" {
		p.ContentType = contentType(key, m.Mode)
	}
	p.Meta[metaMtime] = formatTime(m.MtimeNS)
	for k, ns := range map[string]int64{metaAtime: m.AtimeNS, metaCtime: m.CtimeNS} {
		if ns != 0 && ns != m.MtimeNS {
			p.Meta[k] = formatTime(ns)
		}
	}
	p.Meta[metaMode] = strconv.FormatUint(uint64(m.Mode), 10)
	p.Meta[metaUID] = strconv.FormatUint(uint64(m.UID), 10)
	p.Meta[metaGID] = strconv.FormatUint(uint64(m.GID), 10)
	if len(m.Xattrs) > 0 {
		p.Meta[metaXattr] = formatXattrs(m.Xattrs)
	}
	if publication != "" {
		p.Meta[metaPublication] = publication
	}
	return p
}

// ReadMeta takes what an object carries. What it does not say comes from def, and
// the modification time from LastModified.
func ReadMeta(o *s3.Object, def Meta) Meta {
	m := def
	m.MtimeNS = o.LastModified.UnixNano()
	if !o.HasProps {
		return m
	}
	p := &o.Props
	m.ContentType, m.CacheControl = p.ContentType, p.CacheControl
	m.ContentDisposition, m.ContentEncoding, m.ContentLanguage = p.ContentDisposition, p.ContentEncoding, p.ContentLanguage
	m.Expires, m.StorageClass = p.Expires, p.StorageClass
	m.SSE, m.SSEKMSKey, m.BucketKey, m.TagCount = p.SSE, p.SSEKMSKey, p.BucketKey, p.TagCount
	switch m.StorageClass {
	case "GLACIER", "DEEP_ARCHIVE": // what is written now is to be readable
		m.StorageClass = ""
	}
	m.Xattrs, m.Foreign = nil, nil
	for k, v := range p.Meta {
		readMetaValue(&m, k, v)
	}
	return m
}

func readMetaValue(m *Meta, k, v string) {
	switch k {
	case metaMtime:
		readTime(&m.MtimeNS, v)
	case metaAtime:
		readTime(&m.AtimeNS, v)
	case metaCtime:
		readTime(&m.CtimeNS, v)
	case metaMode:
		if mode, ok := parseMode(v); ok {
			m.Mode = mode | m.Mode&ModeType
			if mode&ModeType != 0 {
				m.Mode = mode
			}
		}
	case metaUID:
		readID(&m.UID, v)
	case metaGID:
		readID(&m.GID, v)
	case metaXattr:
		m.Xattrs = parseXattrs(v)
	case metaPublication:
	default:
		if m.Foreign == nil {
			m.Foreign = map[string]string{}
		}
		m.Foreign[k] = v
	}
}

func readID(id *uint32, v string) {
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		*id = uint32(n)
	}
}

func readTime(t *int64, v string) {
	if ns, ok := parseTime(v); ok {
		*t = ns
	}
}

// MaxTime is the largest time that is kept, in seconds before and after 1970: from 1697
// to 2242.
const MaxTime = 1 << 33

func formatTime(ns int64) string {
	sec, frac := ns/1e9, ns%1e9
	sign := ""
	if ns < 0 {
		sign, sec, frac = "-", -sec, -frac
	}
	return fmt.Sprintf("%s%d.%09d", sign, sec, frac)
}

// parseTime accepts whole seconds and any number of decimals, as s3fs and rclone write
// them, and dates as RFC 3339 has them.
func parseTime(v string) (int64, bool) {
	v = strings.TrimSpace(v)
	whole, frac, _ := strings.Cut(v, ".")
	neg := strings.HasPrefix(whole, "-")
	sec, err := strconv.ParseInt(strings.TrimPrefix(whole, "-"), 10, 64)
	if err != nil {
		at, err := time.Parse(time.RFC3339Nano, v)
		return at.UnixNano(), err == nil && at.Year() > 1700 && at.Year() < 2200
	}
	if sec > MaxTime {
		return 0, false
	}
	frac = (frac + "000000000")[:9]
	ns, err := strconv.ParseInt(frac, 10, 64)
	if err != nil || ns < 0 {
		return 0, false
	}
	if t := sec*1e9 + ns; neg {
		return -t, true
	} else {
		return t, true
	}
}

// parseMode reads the decimal mode of s3fs, and the octal one of rclone, which may begin
// with 0: a decimal that has no type of file is one.
func parseMode(v string) (uint32, bool) {
	if !strings.HasPrefix(v, "0") {
		if n, err := strconv.ParseUint(v, 10, 32); err == nil && isMode(n) {
			return uint32(n), true
		}
	}
	n, err := strconv.ParseUint(v, 8, 32)
	return uint32(n), err == nil && isMode(n)
}

// isMode tells whether a number is a mode of stat(2), with or without the type.
func isMode(n uint64) bool {
	if n > 0o177777 {
		return false
	}
	switch n & ModeType {
	case 0, ModeFile, ModeDir, ModeLink, 0o010000, 0o020000, 0o060000, 0o140000: // pipe, devices, socket
		return true
	}
	return false
}

func formatXattrs(x map[string][]byte) string {
	enc := make(map[string]string, len(x))
	for k, v := range x {
		enc[k] = base64.StdEncoding.EncodeToString(v)
	}
	raw, err := json.Marshal(enc)
	if err != nil {
		panic(err) // a map of strings always has a JSON form
	}
	return url.PathEscape(string(raw)) // s3fs takes a + for what it is
}

func parseXattrs(v string) map[string][]byte {
	if plain, err := url.PathUnescape(v); err == nil {
		v = plain
	}
	var enc map[string]string
	if json.Unmarshal([]byte(v), &enc) != nil {
		return nil
	}
	x := map[string][]byte{}
	for k, s := range enc {
		if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
			x[k] = raw
		}
	}
	return x
}

// mediaTypes are extensions that the system's table often lacks or has wrong.
var mediaTypes = map[string]string{
	".mov": "video/quicktime", ".mp4": "video/mp4", ".m4v": "video/x-m4v", ".mxf": "application/mxf",
	".mkv": "video/x-matroska", ".webm": "video/webm", ".avi": "video/x-msvideo", ".mts": "video/mp2t",
	".ts": "video/mp2t", ".m3u8": "application/vnd.apple.mpegurl", ".mpd": "application/dash+xml",
	".wav": "audio/wav", ".aif": "audio/aiff", ".aiff": "audio/aiff", ".m4a": "audio/mp4", ".mp3": "audio/mpeg",
	".flac": "audio/flac", ".dpx": "image/x-dpx", ".exr": "image/x-exr", ".tif": "image/tiff", ".tiff": "image/tiff",
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".xml": "application/xml",
	".json": "application/json", ".txt": "text/plain; charset=utf-8", ".srt": "application/x-subrip", ".vtt": "text/vtt",
}

func contentType(key string, mode uint32) string {
	switch mode & ModeType {
	case ModeDir:
		return "application/x-directory"
	case ModeLink:
		return "application/octet-stream"
	}
	ext := strings.ToLower(path.Ext(key))
	if t, ok := mediaTypes[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

// sameMeta tells whether two objects with these would carry the same, leaving the
// times of their changes aside.
func sameMeta(a, b *Meta) bool {
	x, y := *a, *b
	x.MtimeNS, y.MtimeNS, x.CtimeNS, y.CtimeNS = 0, 0, 0, 0
	px, py := Properties(&x, "", ""), Properties(&y, "", "")
	return maps.Equal(px.Meta, py.Meta) && px.ContentType == py.ContentType && px.CacheControl == py.CacheControl &&
		px.ContentDisposition == py.ContentDisposition && px.ContentEncoding == py.ContentEncoding && px.ContentLanguage == py.ContentLanguage
}

// now is the modification time of bytes written at this moment.
func now() int64 { return time.Now().UnixNano() }
