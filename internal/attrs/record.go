package attrs

import (
	"encoding/binary"
	"errors"
	"time"

	"s3mount/internal/s3"
)

// A record is
//
//	kind      one byte: fetched, or written by us and not listed yet
//	second    varint: LastModified, or the server's clock when we wrote; Unix time
//	size      varint
//	strings   uvarint length and bytes each: ETag, version ID, the properties
//	          in the order of texts below, then names and values of user metadata
//
// Everything after the second is what tells this version from others, or what HEAD says
// about it. The version of the format is that of the whole file.
const (
	fetched byte = 'f'
	written byte = 'w'
)

// maxRecord is the most bytes of one record: what carries more is asked for each time.
const maxRecord = 8 << 10

var errRecord = errors.New("not a record")

// texts are the strings of an object in the order of the format.
func texts(o *s3.Object) []*string {
	p := &o.Props
	return []*string{
		&o.ETag, &o.VersionID, &p.ContentType, &p.CacheControl, &p.ContentDisposition, &p.ContentEncoding,
		&p.ContentLanguage, &p.Expires, &p.StorageClass, &p.SSE, &p.SSEKMSKey,
	}
}

func encode(kind byte, second time.Time, o *s3.Object) []byte {
	b := make([]byte, 0, 256)
	b = append(b, kind)
	b = binary.AppendVarint(b, second.Unix())
	b = binary.AppendVarint(b, o.Size)
	for _, s := range texts(o) {
		b = appendText(b, *s)
	}
	flag := uint64(0)
	if o.Props.BucketKey {
		flag = 1
	}
	b = binary.AppendUvarint(b, flag)
	b = binary.AppendUvarint(b, uint64(o.Props.TagCount))
	b = binary.AppendUvarint(b, uint64(len(o.Props.Meta)))
	for k, v := range o.Props.Meta {
		b = appendText(appendText(b, k), v)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decode is the opposite of encode. The object has neither Key nor LastModified.
func decode(raw []byte) (kind byte, second time.Time, o s3.Object, err error) {
	d := decoder{raw: raw, all: string(raw)}
	kind = d.byte()
	second = time.Unix(d.varint(), 0)
	o.Size, o.HasProps = d.varint(), true
	for _, s := range texts(&o) {
		*s = d.text()
	}
	o.Props.BucketKey = d.uvarint() == 1
	o.Props.TagCount = int(d.uvarint())
	n := d.uvarint()
	if n > uint64(len(raw)) {
		d.bad = true
	}
	o.Props.Meta = map[string]string{}
	for i := uint64(0); i < n && !d.bad; i++ {
		k := d.text()
		o.Props.Meta[k] = d.text()
	}
	if d.bad || len(d.raw) != 0 || kind != fetched && kind != written {
		return 0, time.Time{}, s3.Object{}, errRecord
	}
	return kind, second, o, nil
}

// decoder takes a record apart; bad stays once it was not one. The strings are parts of
// one.
type decoder struct {
	raw []byte // what is left
	all string
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.raw) == 0 {
		d.bad = true
		return 0
	}
	b := d.raw[0]
	d.raw = d.raw[1:]
	return b
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.raw)
	d.skip(n)
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.raw)
	d.skip(n)
	return v
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, d.raw = true, nil
		return
	}
	d.raw = d.raw[n:]
}

func (d *decoder) text() string {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.raw)) {
		d.bad = true
		return ""
	}
	at := len(d.all) - len(d.raw)
	d.raw = d.raw[n:]
	return d.all[at : at+int(n)]
}
