package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const onePage = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>a&amp;b/</Prefix><KeyCount>2</KeyCount>
<IsTruncated>true</IsTruncated><NextContinuationToken>1ueGcx==</NextContinuationToken><EncodingType>url</EncodingType><Delimiter/>
<Contents><Key>a%26b/c+d</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;0f&#34;</ETag><Size>12</Size>
<Owner><ID>x</ID><DisplayName></DisplayName></Owner><StorageClass>STANDARD</StorageClass><ChecksumAlgorithm>CRC32</ChecksumAlgorithm></Contents>
<Contents><Key>e</Key><LastModified>2026-01-02T03:04:05Z</LastModified><ETag>"1"</ETag><Size>0</Size><StorageClass>GLACIER</StorageClass>
<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2026-02-02T00:00:00.000Z</RestoreExpiryDate></RestoreStatus></Contents>
<CommonPrefixes><Prefix>a%26b/f/</Prefix></CommonPrefixes></ListBucketResult>
`

// slow is what encoding/xml reads of a page.
type slow struct {
	XMLName  xml.Name `xml:"ListBucketResult"`
	Contents []struct {
		Key, ETag     string
		Size          int64
		LastModified  time.Time
		StorageClass  string
		RestoreStatus *struct {
			IsRestoreInProgress bool
			RestoreExpiryDate   *time.Time
		}
	}
	CommonPrefixes        []struct{ Prefix string }
	IsTruncated           bool
	NextContinuationToken string
	EncodingType          string
}

func slowly(t *testing.T, body string) string {
	t.Helper()
	var p slow
	if err := xml.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("taken for a page, which it is not: %v\n%q", err, body)
	}
	s := fmt.Sprintln(p.IsTruncated, p.NextContinuationToken, p.EncodingType, p.CommonPrefixes)
	for _, o := range p.Contents {
		s += fmt.Sprintf("%q %q %d %v %s", o.Key, o.ETag, o.Size, o.LastModified, o.StorageClass)
		if r := o.RestoreStatus; r != nil {
			s += fmt.Sprint(r.IsRestoreInProgress, r.RestoreExpiryDate)
		}
	}
	return s
}

func quickly(p *awss3.ListObjectsV2Output) string {
	var prefixes []struct{ Prefix string }
	for _, x := range p.CommonPrefixes {
		prefixes = append(prefixes, struct{ Prefix string }{val(x.Prefix)})
	}
	s := fmt.Sprintln(val(p.IsTruncated), val(p.NextContinuationToken), string(p.EncodingType), prefixes)
	for _, o := range p.Contents {
		s += fmt.Sprintf("%q %q %d %v %s", val(o.Key), val(o.ETag), val(o.Size), val(o.LastModified), o.StorageClass)
		if r := o.RestoreStatus; r != nil {
			s += fmt.Sprint(val(r.IsRestoreInProgress), r.RestoreExpiryDate)
		}
	}
	return s
}

func TestParseListing(t *testing.T) {
	got, err := parseListing(onePage)
	if err != nil {
		t.Fatal(err)
	}
	if quickly(got) != slowly(t, onePage) || len(got.Contents) != 2 || len(got.CommonPrefixes) != 1 {
		t.Errorf("got\n%s\nwant\n%s", quickly(got), slowly(t, onePage))
	}
	for name, change := range map[string][2]string{
		"comment": {"<KeyCount>", "<!-- two --><KeyCount>"}, "cdata": {"c+d", "<![CDATA[c+d]]>"}, "prefix": {"<Size>12</Size>", "<s:Size>12</s:Size>"},
		"entity": {"c+d", "&#x63;"}, "case": {"IsTruncated", "istruncated"}, "cut": {"</ListBucketResult>", ""}, "size": {">12<", "> 12<"},
		"order": {"</Key></", "</"}, "tail": {"</ListBucketResult>", "</ListBucketResult><more/>"}, "error": {"ListBucketResult", "Error"},
		"time": {"T03:04:05Z", " 03:04:05"}, "bool": {">true<", ">yes<"}, "attribute": {"<Size>", `<Size a=">">`},
	} {
		body := strings.ReplaceAll(onePage, change[0], change[1])
		if _, err := parseListing(body); err == nil && body != onePage {
			t.Errorf("%s: taken for what it is not", name)
		}
	}
}

// What is not read here comes to the SDK as it was, and how it broke off.
func TestListReader(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		status     int
		body, want string
		err        error
	}{
		"page":    {200, onePage, "<ListBucketResult/>", nil},
		"odd":     {200, "<!-- -->" + onePage, "<!-- -->" + onePage, nil},
		"refused": {403, onePage, onePage, nil},
		"broken":  {200, onePage[:300], onePage[:300], broken},
	} {
		var body io.Reader = strings.NewReader(c.body)
		if c.err != nil {
			body = io.MultiReader(body, failing{c.err})
		}
		answer := &smithyhttp.Response{Response: &http.Response{StatusCode: c.status, Body: io.NopCloser(body)}}
		l := &listReader{out: &awss3.ListObjectsV2Output{}}
		_, _, err := l.handle(context.Background(), middleware.DeserializeInput{}, middleware.DeserializeHandlerFunc(
			func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
				return middleware.DeserializeOutput{RawResponse: answer}, middleware.Metadata{}, nil
			}))
		if err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(answer.Body)
		if string(rest) != c.want || !errors.Is(err, c.err) || (l.out != nil) != (name == "page") {
			t.Errorf("%s: the SDK gets %q, %v", name, rest, err)
		}
	}
}

func FuzzParseListing(f *testing.F) {
	f.Add(onePage)
	f.Add(`<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents><Contents/></ListBucketResult>`)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseListing(body)
		if err != nil {
			return
		}
		if want := slowly(t, body); quickly(got) != want {
			t.Errorf("%q\ngot  %s\nwant %s", body, quickly(got), want)
		}
	})
}

func BenchmarkParseListing(b *testing.B) {
	head, rest, _ := strings.Cut(onePage, "<Contents>")
	one, tail, _ := strings.Cut(rest, "<Contents>")
	page := head + strings.Repeat("<Contents>"+one, 1000) + "<Contents>" + tail
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if out, err := parseListing(page); err != nil || len(out.Contents) != 1001 {
			b.Fatal(err)
		}
	}
}
