package transfer

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"s3mount/internal/s3"
)

func TestMetaTravels(t *testing.T) {
	for _, m := range []Meta{
		{Mode: ModeFile | 0o4755, UID: 1, GID: 1<<32 - 1, MtimeNS: 1_500_000_000_000_000_001},
		{Mode: ModeLink | 0o777, MtimeNS: -1, AtimeNS: 1, CtimeNS: 2e18},
		{Mode: ModeDir | 0o700, MtimeNS: -1_500_000_000, ContentType: "x/y", CacheControl: "no-store", ContentDisposition: "inline",
			ContentEncoding: "gzip", ContentLanguage: "de", Foreign: map[string]string{"color": "red"},
			Xattrs: map[string][]byte{"user.ä": {0, 255}, "user.empty": {}}},
	} {
		p := Properties(&m, "k.mov", "id")
		if m.ContentType == "" {
			m.ContentType = p.ContentType
		}
		o := s3.Object{Key: "k.mov", Props: p, HasProps: true, LastModified: time.Unix(5, 0)}
		if got := ReadMeta(&o, Meta{Mode: ModeFile | 0o644, UID: 9}); !reflect.DeepEqual(got, m) {
			t.Errorf("%+v, want %+v", got, m)
		}
		if p.Meta[metaPublication] != "id" {
			t.Error("no publication ID")
		}
	}
}

func TestMetaOfOtherClients(t *testing.T) {
	def := Meta{Mode: ModeFile | 0o644, UID: 9, GID: 8}
	for _, c := range []struct {
		mtime, mode string
		ns          int64
		want        uint32
	}{
		{"1500000000", "33188", 1_500_000_000e9, ModeFile | 0o644},
		{"1500000000.25", "0100600", 1_500_000_000e9 + 25e7, ModeFile | 0o600}, // rclone
		{"1500000000.1234567891", "420", 1_500_000_000_123456789, ModeFile | 0o644},
		{"1500000000.5", "100640", 1_500_000_000e9 + 5e8, ModeFile | 0o640}, // rclone with --metadata
		{"2017-07-14T04:40:00.5+02:00", "40750", 1_500_000_000e9 + 5e8, ModeDir | 0o750},
		{"1500000000.000000001", "120777", 1_500_000_000e9 + 1, ModeLink | 0o777},
		{"-1.5", "16877", -15e8, ModeDir | 0o755}, // s3fs
		{"soon", "rw", 7e9, def.Mode},
		{"5000-01-01T00:00:00Z", "999999999", 7e9, def.Mode},
		{"99999999999999", "", 7e9, def.Mode},
	} {
		o := s3.Object{LastModified: time.Unix(7, 0), HasProps: true}
		o.Props.Meta = map[string]string{"mtime": c.mtime, "mode": c.mode, "uid": "-1", "xattr": "{broken"}
		if m := ReadMeta(&o, def); m.MtimeNS != c.ns || m.Mode != c.want || m.UID != 9 || m.GID != 8 || len(m.Xattrs) != 0 {
			t.Errorf("%+v: %+v", c, m)
		}
	}
	o := s3.Object{LastModified: time.Unix(7, 0)} // of a listing
	if m := ReadMeta(&o, def); m.MtimeNS != 7e9 || m.Mode != def.Mode {
		t.Errorf("listed: %+v", m)
	}
}

// The forms in which clients write extended attributes: s3fs encodes all of it.
func TestXattrsOfOtherClients(t *testing.T) {
	want := map[string][]byte{"user.a b": {0xfb, 0xff, 0xfe}, "user.c": []byte("value")}
	for _, v := range []string{
		formatXattrs(want),
		`{"user.a b":"+//+","user.c":"dmFsdWU="}`,
		`%7b%22user.a%20b%22%3a%22%2b%2f%2f%2b%22%2c%22user.c%22%3a%22dmFsdWU%3d%22%7d`,
	} {
		if got := parseXattrs(v); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %q", v, got)
		}
	}
}

func TestContentType(t *testing.T) {
	for key, want := range map[string]string{"a.MOV": "video/quicktime", "a/b.mxf": "application/mxf", "x": "application/octet-stream", "x.zzz": "application/octet-stream"} {
		if got := contentType(key, ModeFile); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	a, b := Meta{Mode: ModeFile, MtimeNS: 1}, Meta{Mode: ModeFile, MtimeNS: 2}
	if !sameMeta(&a, &b) {
		t.Error("sameMeta looks at the time")
	}
	if b.CtimeNS = 3; !sameMeta(&a, &b) {
		t.Error("sameMeta looks at the time of the change")
	}
	if b.Xattrs = map[string][]byte{"user.a": nil}; sameMeta(&a, &b) {
		t.Error("sameMeta overlooks an attribute")
	}
}

func TestBackoff(t *testing.T) {
	var got []time.Duration
	for _, n := range []int{1, 2, 6, 7, 1000} {
		got = append(got, backoff(n))
	}
	if fmt.Sprint(got) != "[250ms 500ms 8s 15s 15s]" {
		t.Errorf("%v", got)
	}
}
