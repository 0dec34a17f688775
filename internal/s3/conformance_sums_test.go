package s3_test

import (
	"bytes"
	"net/http"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/internal/sum"
)

// No server of the three holds preconditions on the target of a copy, and all hold
// those of other writes.
func testProbeConditions(t *testing.T, server backend, b *s3.Bucket) {
	c, left, err := b.ProbeConditions(t.Context(), "scratch")
	if err != nil || left != nil || c != (s3.Conditions{Writes: true}) {
		t.Errorf("got %+v, %v", c, err)
	}
	_, err = b.Head(t.Context(), "scratch")
	want(t, "the scratch object afterwards", err, s3.ErrNotFound)
	if server.fake == nil {
		return
	}
	server.fake.HoldCopyConditions(true)
	if c, _, err = b.ProbeConditions(t.Context(), "scratch"); err != nil || c != (s3.Conditions{Writes: true, Copies: true}) {
		t.Errorf("all held: got %+v, %v", c, err)
	}
	server.fake.HoldCopyConditions(false)
	server.fake.IgnoreConditions(true)
	defer server.fake.IgnoreConditions(false)
	if c, _, err = b.ProbeConditions(t.Context(), "scratch"); err != nil || c != (s3.Conditions{}) {
		t.Errorf("none held: got %+v, %v", c, err)
	}
}

// Every server knows CRC32C, confirms it in its answers, and verifies the others too.
func testChecksums(t *testing.T, server backend, b *s3.Bucket) {
	data := noise(fiveMiB+1000, 11)
	for _, name := range []string{"CRC64NVME", "CRC32C", "CRC32", "MD5"} {
		b.UseSum(name)
		sendWithSum(t, b, name, data)
		if got := b.SumInUse(); got != name {
			t.Errorf("%s: the server made it %s", name, got)
		}
		sums := sum.Of(data)
		sums.CRC32C, sums.CRC64NVME = sums.CRC32C+1, sums.CRC64NVME+1
		_, err := b.Put(t.Context(), name, bytes.NewReader(data), int64(len(data)), &sums, s3.Properties{}, s3.Cond{})
		want(t, name+": put of other bytes", err, s3.ErrBadDigest)
		if !bytes.Equal(get(t, b, name), data) {
			t.Errorf("%s: other bytes arrived", name)
		}
	}
}

// An object that another client has uploaded in parts has a checksum of each, and none of all
// bytes. The embedded server does not list those of parts.
func testPartSums(t *testing.T, server backend, b *s3.Bucket) {
	data := noise(2*fiveMiB+1000, 14)
	if server.fake != nil {
		server.fake.PutObject("theirs", data, nil)
		server.fake.SealParts("theirs", "CRC32", fiveMiB)
	} else {
		putParts(t, server.config, "theirs", data, fiveMiB)
	}
	o, err := b.Head(t.Context(), "theirs")
	want(t, "head", err, nil)
	if !s3.InParts(o.ETag) {
		t.Errorf("the ETag %s is not one of parts", o.ETag)
	}
	said, err := b.Sums(t.Context(), o)
	want(t, "sums", err, nil)
	if server.name == "embedded" {
		if len(said) != 0 {
			t.Errorf("got %+v, want none", said)
		}
		return
	}
	if len(said) != 3 {
		t.Fatalf("got %+v, want three", said)
	}
	for _, s := range said {
		if got, want := s.Sum.Sums(), sum.Only(sum.CRC32, data[:s.Size]); got != want {
			t.Errorf("a part has %x, want %x", got, want)
		}
		data = data[s.Size:]
	}
	o.ETag = otherETag
	_, err = b.Sums(t.Context(), o)
	want(t, "sums of another version", err, s3.ErrPrecondition)
}

// putParts uploads an object as the AWS SDKs do by default.
func putParts(t *testing.T, c s3.Config, key string, data []byte, size int) {
	t.Helper()
	client, bucket := plainClient(c), aws.String(c.Bucket)
	made, err := client.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{
		Bucket: bucket, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		t.Fatal(err)
	}
	var done []types.CompletedPart
	for n := int32(1); len(data) > 0; n++ {
		part := data[:min(size, len(data))]
		data = data[len(part):]
		out, err := client.UploadPart(t.Context(), &awss3.UploadPartInput{
			Bucket: bucket, Key: &key, UploadId: made.UploadId, PartNumber: &n, Body: bytes.NewReader(part),
			ChecksumCRC32: aws.String(s3test.SumOf("CRC32", part)),
		})
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, types.CompletedPart{PartNumber: &n, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32})
	}
	_, err = client.CompleteMultipartUpload(t.Context(), &awss3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: &key, UploadId: made.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sendWithSum writes an object by one PUT, and again by parts.
func sendWithSum(t *testing.T, b *s3.Bucket, key string, data []byte) {
	t.Helper()
	put(t, b, key, data)
	id, err := b.CreateUpload(t.Context(), key, s3.Properties{})
	want(t, key+": create", err, nil)
	parts := []s3.Part{sendPart(t, b, key, id, 1, data[:fiveMiB]), sendPart(t, b, key, id, 2, data[fiveMiB:])}
	_, err = b.Complete(t.Context(), key, id, parts, s3.Cond{})
	want(t, key+": complete", err, nil)
	if !bytes.Equal(get(t, b, key), data) {
		t.Errorf("%s: other bytes arrived", key)
	}
}

func testTags(t *testing.T, server backend, b *s3.Bucket) {
	p := s3.Properties{Tags: url.Values{"project": {"a + b=c:@/"}, "state": {"raw"}}.Encode()}
	data := []byte("data")
	sums := sum.Of(data)
	_, err := b.Put(t.Context(), "tagged", bytes.NewReader(data), 4, &sums, p, s3.Cond{})
	want(t, "put", err, nil)
	id, err := b.CreateUpload(t.Context(), "tagged-parts", p)
	want(t, "create", err, nil)
	part := sendPart(t, b, "tagged-parts", id, 1, data)
	_, err = b.Complete(t.Context(), "tagged-parts", id, []s3.Part{part}, s3.Cond{})
	want(t, "complete", err, nil)
	_, err = b.Copy(t.Context(), s3.Object{Key: "tagged"}, "tagged-copy", nil, s3.Cond{})
	want(t, "copy", err, nil)
	_, err = b.Copy(t.Context(), s3.Object{Key: "tagged"}, "tagged-replaced", &s3.Properties{Meta: map[string]string{"a": "b"}}, s3.Cond{})
	want(t, "copy with other metadata", err, nil)
	put(t, b, "plain", data)
	for key, tags := range map[string]string{"tagged": p.Tags, "tagged-parts": p.Tags, "tagged-copy": p.Tags, "tagged-replaced": p.Tags, "plain": ""} {
		o, err := b.Head(t.Context(), key)
		want(t, "head", err, nil)
		if has := o.Props.TagCount > 0; has != (tags != "") {
			t.Errorf("%s: %d tags by HEAD", key, o.Props.TagCount)
		}
		if got, err := b.Tags(t.Context(), key); err != nil || got != tags {
			t.Errorf("%s: tags %q, %v; want %q", key, got, err, tags)
		}
	}
}

// A copy of a version that is not the current one any more works by its ID.
func testOldVersions(t *testing.T, server backend, b *s3.Bucket) {
	switch {
	case server.fake != nil:
		server.fake.SetVersioned(true)
		defer server.fake.SetVersioned(false)
	case server.name == "minio":
		b = versionedBucket(t, server)
	default: // the embedded server has no versions
		return
	}
	data := noise(fiveMiB, 12)
	old := put(t, b, "versions", data)
	if old.VersionID == "" {
		t.Fatal("the answer names no version")
	}
	put(t, b, "versions", []byte("theirs"))
	_, err := b.Copy(t.Context(), old, "old", nil, s3.Cond{})
	want(t, "copy of the old version", err, nil)
	if !bytes.Equal(get(t, b, "old"), data) {
		t.Error("another version was copied")
	}
	want(t, "delete", b.Delete(t.Context(), "versions"), nil)
	id, err := b.CreateUpload(t.Context(), "parts", s3.Properties{}, s3.WithCopies)
	want(t, "create", err, nil)
	part, err := b.UploadPartCopy(t.Context(), "parts", id, 1, old, 10, fiveMiB-10)
	want(t, "copied part of a deleted object", err, nil)
	_, err = b.Complete(t.Context(), "parts", id, []s3.Part{part}, s3.Cond{})
	want(t, "complete", err, nil)
	if !bytes.Equal(get(t, b, "parts"), data[10:]) {
		t.Error("another version was copied")
	}
	old.VersionID = ""
	_, err = b.Copy(t.Context(), old, "old", nil, s3.Cond{})
	want(t, "copy without the ID", err, s3.ErrNotFound)
}

func versionedBucket(t *testing.T, server backend) *s3.Bucket {
	t.Helper()
	c := server.config
	c.Bucket = "versioned"
	if err := createBucket(t, c); err != nil {
		t.Fatal(err)
	}
	_, err := plainClient(c).PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{
		Bucket: aws.String(c.Bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	return server.open(t, func(o *s3.Config) { o.Bucket = c.Bucket })
}

// Stores that do not know CRC32C get the best checksum that they verify.
func TestChecksumFallback(t *testing.T) {
	for name, test := range map[string]struct {
		knows s3test.Sums
		used  string
	}{
		"all":                  {s3test.AllSums, "CRC32C"},
		"501 to CRC32C":        {s3test.RefuseCRC32C, "CRC64NVME"},
		"400 to CRC32C":        {s3test.RefuseCRC32CWith400, "CRC64NVME"},
		"501 to all":           {s3test.RefuseAllCRC, "MD5"},
		"silently without any": {s3test.IgnoreAllCRC, "MD5"},
		"without types":        {s3test.IgnoreTypes, "CRC32C"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
				srv.SetSums(test.knows)
				data := noise(fiveMiB+1000, 13)
				for range 3 { // one that ignores is found out step by step
					sendWithSum(t, b, "k", data)
				}
				if got := b.SumInUse(); got != test.used {
					t.Errorf("%s is used; want %s", got, test.used)
				}
				srv.Fault(func(r *http.Request) *s3test.Fault {
					if r.Header.Get("X-Amz-Checksum-Crc64nvme") == "" && r.Header.Get("X-Amz-Checksum-Crc32c") == "" && r.Header.Get("Content-Md5") == "" &&
						(s3test.Op(r) == "PutObject" || s3test.Op(r) == "UploadPart") {
						t.Errorf("%s without any checksum", s3test.Op(r))
					}
					return nil
				})
				sendWithSum(t, b, "k", data)
				for i := range data[:10] { // bytes that change on this machine are never sent
					bad := bytes.Clone(data)
					bad[i] ^= 1
					sums := sum.Of(data)
					_, err := b.Put(t.Context(), "k", bytes.NewReader(bad), int64(len(bad)), &sums, s3.Properties{}, s3.Cond{})
					want(t, "put of damaged bytes", err, s3.ErrBadDigest)
				}
				if got, _ := srv.Object("k"); !bytes.Equal(got, data) {
					t.Error("damaged bytes arrived")
				}
			})
		})
	}
}

// The parts of an upload with copies go with their MD5.
func TestPartsBesideCopiesAreVerified(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		id, err := b.CreateUpload(t.Context(), "k", s3.Properties{}, s3.WithCopies)
		want(t, "create", err, nil)
		_, err = b.UploadPart(t.Context(), "k", id, 1, bytes.NewReader([]byte("part")), 4, nil)
		want(t, "part", err, nil)
		for _, r := range srv.Requests() {
			if r.Op == "UploadPart" {
				expect(t, r, "Content-Md5", "9Mk4XxkC9zNLALm07NFk3g==")
			}
		}
	})
}
