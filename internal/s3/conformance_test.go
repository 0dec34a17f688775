package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/internal/sum"
)

// TestConformance asks the fake, the embedded server and a real MinIO the same
// questions, so that the fake does not lie.
func TestConformance(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, backend, *s3.Bucket)
	}{
		{"check", testCheck},
		{"properties", testProperties},
		{"conditions", testConditions},
		{"large refused", testLargeRefused},
		{"ranges", testRanges},
		{"copy", testCopy},
		{"listing", testListing},
		{"delete many", testDeleteAll},
		{"odd keys", testOddKeys},
		{"multipart", testMultipart},
		{"part copies", testPartCopies},
		{"multipart errors", testMultipartErrors},
		{"complete conditions", testCompleteConditions},
		{"probe", testProbeConditions},
		{"checksums", testChecksums},
		{"checksums of parts", testPartSums},
		{"tags", testTags},
		{"old versions", testOldVersions},
	}
	for _, server := range backends(t) {
		t.Run(server.name, func(t *testing.T) {
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, server, server.open(t)) })
			}
		})
	}
}

// want fails the test unless err is of the kind; nil means success.
func want(t *testing.T, what string, err, kind error) {
	t.Helper()
	if kind == nil && err != nil || kind != nil && !errors.Is(err, kind) {
		t.Errorf("%s: got %v; want %v", what, err, kind)
	}
}

func put(t *testing.T, b *s3.Bucket, key string, data []byte) s3.Object {
	t.Helper()
	sums := sum.Of(data)
	o, err := b.Put(t.Context(), key, bytes.NewReader(data), int64(len(data)), &sums, s3.Properties{}, s3.Cond{})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

func get(t *testing.T, b *s3.Bucket, key string) []byte {
	t.Helper()
	o, err := b.Head(t.Context(), key)
	if err != nil {
		t.Fatalf("head %q: %v", key, err)
	}
	body, _, err := b.GetRange(t.Context(), key, o.ETag, "", 0, o.Size)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return data
}

// noise is n bytes that differ with the seed.
func noise(n int, seed int64) []byte {
	p := make([]byte, n)
	s3test.Pattern{}.ReadAt(p, seed<<32)
	return p
}

func testCheck(t *testing.T, server backend, b *s3.Bucket) {
	want(t, "check", b.Check(t.Context()), nil)
	other := server.open(t, func(c *s3.Config) { c.Bucket = "no-such-bucket" })
	want(t, "missing bucket", other.Check(t.Context()), s3.ErrNoBucket)
	_, err := other.Put(t.Context(), "k", strings.NewReader("x"), 1, nil, s3.Properties{}, s3.Cond{})
	want(t, "put into missing bucket", err, s3.ErrNoBucket)
	if !server.signed {
		return
	}
	other = server.open(t, func(c *s3.Config) { c.SecretKey = "wrong" })
	err = other.Check(t.Context())
	want(t, "wrong secret", err, s3.ErrCredentials)
	if strings.Contains(fmt.Sprint(err), "wrong") {
		t.Errorf("the error holds the secret: %v", err)
	}
	other = server.open(t, func(c *s3.Config) { c.AccessKey = "unknown" })
	want(t, "unknown key", other.Check(t.Context()), s3.ErrCredentials)
	other = server.open(t, func(c *s3.Config) { c.AccessKey, c.Anonymous = "", true })
	if err := other.Check(t.Context()); !errors.Is(err, s3.ErrDenied) && !errors.Is(err, s3.ErrCredentials) {
		t.Errorf("anonymous: got %v", err)
	}
}

func testProperties(t *testing.T, server backend, b *s3.Bucket) {
	p := s3.Properties{
		ContentType: "video/quicktime", CacheControl: "no-cache", ContentDisposition: "inline", ContentLanguage: "de",
		Expires: "Thu, 01 Dec 2033 16:00:00 GMT", Meta: map[string]string{"mtime": "1700000000.123456789", "mode": "33188", "name": "Ümläut 漢字"},
	}
	check := func(what string, o s3.Object, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got := o.Props
		if got.ContentType != p.ContentType || got.CacheControl != p.CacheControl || got.ContentDisposition != p.ContentDisposition ||
			got.ContentLanguage != p.ContentLanguage || got.Expires != p.Expires || !maps.Equal(got.Meta, p.Meta) || !o.HasProps {
			t.Errorf("%s: got %+v", what, got)
		}
	}
	data := []byte("data")
	sums := sum.Of(data)
	put, err := b.Put(t.Context(), "props", bytes.NewReader(data), 4, &sums, p, s3.Cond{})
	want(t, "put", err, nil)
	o, err := b.Head(t.Context(), "props")
	check("head", o, err)
	if o.Size != 4 || o.ETag != put.ETag || o.ETag[0] != '"' || o.LastModified.IsZero() || o.Archived || put.Size != 4 {
		t.Errorf("got %+v, put gave %+v", o, put)
	}
	body, o, err := b.GetRange(t.Context(), "props", o.ETag, "", 0, 4)
	check("get", o, err)
	body.Close()
	id, err := b.CreateUpload(t.Context(), "props-multi", p)
	want(t, "create", err, nil)
	part, err := b.UploadPart(t.Context(), "props-multi", id, 1, bytes.NewReader(data), 4, &sums)
	want(t, "part", err, nil)
	_, err = b.Complete(t.Context(), "props-multi", id, []s3.Part{part}, s3.Cond{})
	want(t, "complete", err, nil)
	o, err = b.Head(t.Context(), "props-multi")
	check("multipart", o, err)
	bad := sum.Sums{CRC64NVME: sums.CRC64NVME + 1, CRC32C: sums.CRC32C + 1}
	_, err = b.Put(t.Context(), "props", bytes.NewReader(data), 4, &bad, p, s3.Cond{})
	want(t, "wrong checksum", err, s3.ErrBadDigest)
	_, err = b.Head(t.Context(), "none")
	want(t, "head of nothing", err, s3.ErrNotFound)
	want(t, "delete", b.Delete(t.Context(), "props"), nil)
	want(t, "delete of nothing", b.Delete(t.Context(), "props"), nil)
}

func testConditions(t *testing.T, server backend, b *s3.Bucket) {
	try := func(what string, c s3.Cond, kind error) s3.Object {
		t.Helper()
		o, err := b.Put(t.Context(), "cond", strings.NewReader(what), int64(len(what)), nil, s3.Properties{}, c)
		want(t, what, err, kind)
		return o
	}
	try("match on nothing", s3.Cond{IfMatch: `"0123456789abcdef0123456789abcdef"`}, s3.ErrPrecondition)
	first := try("new", s3.Cond{IfNoneMatch: true}, nil)
	try("new again", s3.Cond{IfNoneMatch: true}, s3.ErrPrecondition)
	second := try("edit", s3.Cond{IfMatch: first.ETag}, nil)
	try("edit of the old", s3.Cond{IfMatch: first.ETag}, s3.ErrPrecondition)
	if got := get(t, b, "cond"); string(got) != "edit" {
		t.Errorf("got %q", got)
	}
	_, _, err := b.GetRange(t.Context(), "cond", first.ETag, "", 0, 2)
	want(t, "get of the old", err, s3.ErrPrecondition)
	body, _, err := b.GetRange(t.Context(), "cond", second.ETag, "", 0, 2)
	want(t, "get", err, nil)
	body.Close()
}

func testLargeRefused(t *testing.T, server backend, b *s3.Bucket) {
	put(t, b, "large", []byte("theirs"))
	data := noise(24<<20, 1)
	for range 2 {
		_, err := b.Put(t.Context(), "large", bytes.NewReader(data), int64(len(data)), nil, s3.Properties{}, s3.Cond{IfNoneMatch: true})
		want(t, "large new", err, s3.ErrPrecondition)
		_, err = b.Put(t.Context(), "large", bytes.NewReader(data), int64(len(data)), nil, s3.Properties{}, s3.Cond{IfMatch: `"0123456789abcdef0123456789abcdef"`})
		want(t, "large edit", err, s3.ErrPrecondition)
	}
	_, err := b.UploadPart(t.Context(), "large", "0123456789abcdef", 1, bytes.NewReader(data), int64(len(data)), nil)
	want(t, "large part of no upload", err, s3.ErrNoUpload)
}

func testRanges(t *testing.T, server backend, b *s3.Bucket) {
	data := noise(1<<20, 2)
	o := put(t, b, "ranges", data)
	for _, r := range [][2]int64{{0, 1 << 20}, {0, 1}, {1<<20 - 1, 1}, {12345, 54321}} {
		body, got, err := b.GetRange(t.Context(), "ranges", o.ETag, "", r[0], r[1])
		if err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		p, err := io.ReadAll(body)
		body.Close()
		if err != nil || !bytes.Equal(p, data[r[0]:r[0]+r[1]]) || got.Size != 1<<20 {
			t.Errorf("%v: %d bytes of %d, %v", r, len(p), got.Size, err)
		}
	}
	_, _, err := b.GetRange(t.Context(), "ranges", o.ETag, "", 1<<20, 1)
	want(t, "beyond the end", err, s3.ErrChanged)
	_, _, err = b.GetRange(t.Context(), "ranges", o.ETag, "", 1<<20-1, 2)
	want(t, "over the end", err, s3.ErrChanged)
	_, _, err = b.GetRange(t.Context(), "ranges", "", "", 1<<20, 1)
	want(t, "beyond the end, no version", err, s3.ErrInvalid)
	_, _, err = b.GetRange(t.Context(), "none", "", "", 0, 1)
	want(t, "no object", err, s3.ErrNotFound)
	_, _, err = b.GetRange(t.Context(), "none", o.ETag, "", 0, 1)
	want(t, "object gone", err, s3.ErrNotFound)
	put(t, b, "empty", nil)
	if got := get(t, b, "empty"); len(got) != 0 {
		t.Errorf("empty object has %d bytes", len(got))
	}
}

func testCopy(t *testing.T, server backend, b *s3.Bucket) {
	p := s3.Properties{ContentType: "video/mp4", Meta: map[string]string{"mtime": "1"}}
	data := noise(100000, 3)
	src, err := b.Put(t.Context(), "src", bytes.NewReader(data), int64(len(data)), nil, p, s3.Cond{})
	want(t, "put", err, nil)
	o, err := b.Copy(t.Context(), src, "dst", nil, s3.Cond{})
	want(t, "copy", err, nil)
	got, err := b.Head(t.Context(), "dst")
	want(t, "head", err, nil)
	if got.ETag != o.ETag || got.Props.ContentType != "video/mp4" || got.Props.Meta["mtime"] != "1" || !bytes.Equal(get(t, b, "dst"), data) {
		t.Errorf("copy is %+v, Copy said %+v", got, o)
	}
	p.Meta = map[string]string{"mtime": "2"}
	for _, dst := range []string{"dst", "src"} { // onto itself too: new metadata
		_, err = b.Copy(t.Context(), src, dst, &p, s3.Cond{})
		want(t, "copy with new metadata", err, nil)
		if got, err = b.Head(t.Context(), dst); err != nil || got.Props.Meta["mtime"] != "2" || got.Props.ContentType != "video/mp4" {
			t.Errorf("%s is %+v, %v", dst, got, err)
		}
	}
	_, err = b.Copy(t.Context(), s3.Object{Key: "src", ETag: otherETag}, "dst", nil, s3.Cond{})
	want(t, "copy of another version", err, s3.ErrPrecondition)
	_, err = b.Copy(t.Context(), s3.Object{Key: "none"}, "dst", nil, s3.Cond{})
	want(t, "copy of nothing", err, s3.ErrNotFound)
}

func testListing(t *testing.T, server backend, b *s3.Bucket) {
	var keys []string
	for _, k := range []string{"list/", "list/a", "list/b c", "list/d/1", "list/d/2", "list/d/3/x", "list/e+f", "list/g%20h", "list/z"} {
		keys = append(keys, k)
		data := []byte(k)
		if strings.HasSuffix(k, "/") {
			data = nil // the marker of a directory; some servers let it hold no bytes
		}
		put(t, b, k, data)
	}
	// Not by 1: MinIO answers that with the object whose key is the prefix, and
	// says that there is no more.
	for _, size := range []int{2, 3, 1000} {
		var flat, files, dirs []string
		walk(t, b, "list/", "", size, func(p s3.Page) {
			for _, o := range p.Objects {
				flat = append(flat, o.Key)
				if o.Size != int64(len(o.Key)) && o.Key != "list/" || o.ETag == "" || o.ETag[0] != '"' || o.LastModified.IsZero() || o.HasProps || o.Archived {
					t.Errorf("listed %+v", o)
				}
			}
		})
		slices.Sort(keys)
		if !slices.Equal(flat, keys) {
			t.Errorf("by %d: got %q", size, flat)
		}
		walk(t, b, "list/", "/", size, func(p s3.Page) {
			for _, o := range p.Objects {
				files = append(files, o.Key)
			}
			dirs = append(dirs, p.Prefixes...)
		})
		if len(files) != 6 || !slices.Equal(dirs, []string{"list/d/"}) {
			t.Errorf("by %d with delimiter: got %q and %q", size, files, dirs)
		}
	}
	page, err := b.List(t.Context(), "list/", "", "list/d/2", "", 0)
	if err != nil || len(page.Objects) != 4 || page.Objects[0].Key != "list/d/3/x" {
		t.Errorf("start after: %+v, %v", page, err)
	}
	page, err = b.List(t.Context(), "nothing/", "/", "", "", 2)
	if err != nil || len(page.Objects)+len(page.Prefixes) != 0 || page.Next != "" {
		t.Errorf("empty listing: %+v, %v", page, err)
	}
}

func walk(t *testing.T, b *s3.Bucket, prefix, delimiter string, size int, f func(s3.Page)) {
	t.Helper()
	token := ""
	for range 100 {
		page, err := b.List(t.Context(), prefix, delimiter, "", token, size)
		if err != nil {
			t.Fatal(err)
		}
		f(page)
		if token = page.Next; token == "" {
			return
		}
	}
	t.Fatal("the listing has no end")
}

// Any key that a server accepts is found again under the same key, and can be copied.
func testOddKeys(t *testing.T, server backend, b *s3.Bucket) {
	keys := []string{
		"odd/space in it", "odd/plus+plus", "odd/per%cent", "odd/%2F", "odd/%41", "odd/quest?ion", "odd/ha#sh", "odd/am&per;sand=", "odd/q\"uo'te",
		"odd/ümlaut", "odd/漢字", "odd/emoji🎬", "odd/dir/", "/odd/leading", "odd//double", "odd/./dot", "odd/../up", "odd/..", "odd/new\nline",
		"odd/tab\there", "odd/back\\slash", "odd/st*r", "odd/c:o", "odd/<angle>", "odd/trailing ", "odd/~tilde!$'()@,", "odd/" + strings.Repeat("x", 200), "odd/e\u0301",
	}
	// Servers over a file system clean some paths: the object is found, but under
	// another key.
	aliases := map[string][]string{
		"embedded": {"/odd/leading", "odd//double", "odd/./dot", "odd/../up"},
		"minio":    {"/odd/leading"},
	}[server.name]
	var refused []string
	for i, key := range keys {
		data := fmt.Appendf(nil, "data %d", i)
		if strings.HasSuffix(key, "/") {
			data = nil
		}
		_, err := b.Put(t.Context(), key, bytes.NewReader(data), int64(len(data)), nil, s3.Properties{}, s3.Cond{})
		if errors.Is(err, s3.ErrInvalid) || errors.Is(err, s3.ErrBadKey) || errors.Is(err, s3.ErrNotFound) && key != "" {
			refused = append(refused, key)
			continue
		}
		want(t, fmt.Sprintf("put %q", key), err, nil)
		if err != nil {
			continue
		}
		if got := get(t, b, key); !bytes.Equal(got, data) {
			t.Errorf("%q: got %q; want %q", key, got, data)
		}
		_, err = b.Copy(t.Context(), s3.Object{Key: key}, "copied", nil, s3.Cond{})
		want(t, fmt.Sprintf("copy %q", key), err, nil)
		if got := get(t, b, "copied"); !bytes.Equal(got, data) {
			t.Errorf("copy of %q: got %q", key, got)
		}
		page, err := b.List(t.Context(), key, "", "", "", 0)
		if err != nil || !slices.Contains(aliases, key) && !slices.ContainsFunc(page.Objects, func(o s3.Object) bool { return o.Key == key }) {
			t.Errorf("list %q: %+v, %v", key, page, err)
		}
		want(t, "delete", b.Delete(t.Context(), key), nil)
		if _, err = b.Head(t.Context(), key); !errors.Is(err, s3.ErrNotFound) {
			t.Errorf("%q after delete: %v", key, err)
		}
	}
	t.Logf("%s refuses %q", server.name, refused)
	if server.name == "fake" && len(refused) > 0 {
		t.Error("the fake refuses keys")
	}
}
