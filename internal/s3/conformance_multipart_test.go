package s3_test

import (
	"bytes"
	"testing"

	"s3mount/internal/s3"
	"s3mount/internal/sum"
)

const (
	fiveMiB   = 5 << 20
	otherETag = `"0123456789abcdef0123456789abcdef"` // of no object
)

func sendPart(t *testing.T, b *s3.Bucket, key, id string, n int32, data []byte) s3.Part {
	t.Helper()
	sums := sum.Of(data)
	p, err := b.UploadPart(t.Context(), key, id, n, bytes.NewReader(data), int64(len(data)), &sums)
	if err != nil {
		t.Fatalf("part %d: %v", n, err)
	}
	return p
}

func testMultipart(t *testing.T, server backend, b *s3.Bucket) {
	data := noise(2*fiveMiB+1000, 4)
	id, err := b.CreateUpload(t.Context(), "multi", s3.Properties{})
	want(t, "create", err, nil)
	// Out of order, one of them twice.
	last := sendPart(t, b, "multi", id, 7, data[2*fiveMiB:])
	sendPart(t, b, "multi", id, 2, noise(fiveMiB, 9))
	second := sendPart(t, b, "multi", id, 2, data[fiveMiB:2*fiveMiB])
	first := sendPart(t, b, "multi", id, 1, data[:fiveMiB])
	listed, err := b.ListParts(t.Context(), "multi", id)
	want(t, "list parts", err, nil)
	if len(listed) != 3 || listed[0].Number != 1 || listed[1].ETag != second.ETag || listed[2].Size != 1000 || listed[2].Number != 7 {
		t.Errorf("parts are %+v", listed)
	}
	for _, p := range listed {
		if !p.Sum.Comparable() {
			t.Errorf("part %d is listed without its checksum", p.Number)
		}
	}
	uploads, err := b.ListUploads(t.Context(), "multi")
	if err != nil || len(uploads) != 1 || uploads[0].ID != id || uploads[0].Key != "multi" || uploads[0].Initiated.IsZero() {
		t.Errorf("uploads are %+v, %v", uploads, err)
	}
	wrong := first
	wrong.Sums = &sum.Sums{CRC32C: first.Sums.CRC32C + 1}
	_, err = b.Complete(t.Context(), "multi", id, []s3.Part{wrong, second, last}, s3.Cond{IfNoneMatch: true})
	want(t, "complete with the checksum of other bytes", err, s3.ErrBadDigest)
	o, err := b.Complete(t.Context(), "multi", id, []s3.Part{first, second, last}, s3.Cond{IfNoneMatch: true})
	want(t, "complete", err, nil)
	head, err := b.Head(t.Context(), "multi")
	want(t, "head", err, nil)
	if head.ETag != o.ETag || head.Size != int64(len(data)) || o.Size != head.Size || !bytes.Equal(get(t, b, "multi"), data) {
		t.Errorf("object is %+v, Complete said %+v", head, o)
	}
	if said, err := b.Sums(t.Context(), o); server.fake == nil && (err != nil || len(said) != 1 || said[0].Size != o.Size || !said[0].Sum.Is(sum.Of(data))) {
		t.Errorf("the object has the checksums %+v, %v", said, err)
	}
	_, err = b.ListParts(t.Context(), "multi", id)
	want(t, "list parts afterwards", err, s3.ErrNoUpload)
	want(t, "abort afterwards", b.Abort(t.Context(), "multi", id), nil)
}

func testPartCopies(t *testing.T, server backend, b *s3.Bucket) {
	base := noise(3*fiveMiB, 5)
	src := put(t, b, "base +%ü", base)
	id, err := b.CreateUpload(t.Context(), "edited", s3.Properties{}, s3.WithCopies)
	want(t, "create", err, nil)
	one, err := b.UploadPartCopy(t.Context(), "edited", id, 1, src, 100, fiveMiB)
	want(t, "copy 1", err, nil)
	fresh := noise(fiveMiB, 6)
	two, err := b.UploadPart(t.Context(), "edited", id, 2, bytes.NewReader(fresh), fiveMiB, nil)
	want(t, "part 2", err, nil)
	three, err := b.UploadPartCopy(t.Context(), "edited", id, 3, src, 3*fiveMiB-7, 7)
	want(t, "copy 3", err, nil)
	_, err = b.UploadPartCopy(t.Context(), "edited", id, 4, s3.Object{Key: src.Key, ETag: otherETag}, 0, 10)
	want(t, "copy of another version", err, s3.ErrPrecondition)
	_, err = b.UploadPartCopy(t.Context(), "edited", id, 4, s3.Object{Key: "none"}, 0, 10)
	want(t, "copy of nothing", err, s3.ErrNotFound)
	o, err := b.Complete(t.Context(), "edited", id, []s3.Part{one, two, three}, s3.Cond{})
	want(t, "complete", err, nil)
	expect := append(append(append([]byte{}, base[100:100+fiveMiB]...), fresh...), base[3*fiveMiB-7:]...)
	if !bytes.Equal(get(t, b, "edited"), expect) || o.Size != int64(len(expect)) {
		t.Errorf("the edited object is wrong: %+v", o)
	}
}

func testMultipartErrors(t *testing.T, server backend, b *s3.Bucket) {
	const gone = "0123456789abcdef"
	small := []byte("small")
	sums := sum.Of(small)
	_, err := b.UploadPart(t.Context(), "errors", gone, 1, bytes.NewReader(small), 5, nil)
	want(t, "part of no upload", err, s3.ErrNoUpload)
	_, err = b.Complete(t.Context(), "errors", gone, []s3.Part{{Number: 1, ETag: `"0123456789abcdef0123456789abcdef"`}}, s3.Cond{})
	want(t, "complete of no upload", err, s3.ErrNoUpload)
	want(t, "abort of no upload", b.Abort(t.Context(), "errors", gone), nil)
	id, err := b.CreateUpload(t.Context(), "errors", s3.Properties{})
	want(t, "create", err, nil)
	bad := sum.Sums{CRC64NVME: sums.CRC64NVME + 1, CRC32C: sums.CRC32C + 1}
	_, err = b.UploadPart(t.Context(), "errors", id, 1, bytes.NewReader(small), 5, &bad)
	want(t, "wrong checksum", err, s3.ErrBadDigest)
	one, two := sendPart(t, b, "errors", id, 1, small), sendPart(t, b, "errors", id, 2, small)
	_, err = b.Complete(t.Context(), "errors", id, []s3.Part{one, two}, s3.Cond{})
	want(t, "too small", err, s3.ErrInvalid)
	wrong := one
	wrong.ETag = `"0123456789abcdef0123456789abcdef"`
	_, err = b.Complete(t.Context(), "errors", id, []s3.Part{wrong}, s3.Cond{})
	want(t, "wrong ETag", err, s3.ErrNoUpload)
	want(t, "abort", b.Abort(t.Context(), "errors", id), nil)
	_, err = b.Head(t.Context(), "errors")
	want(t, "nothing was made", err, s3.ErrNotFound)
}

func testCompleteConditions(t *testing.T, server backend, b *s3.Bucket) {
	theirs := put(t, b, "contested", []byte("theirs"))
	id, err := b.CreateUpload(t.Context(), "contested", s3.Properties{})
	want(t, "create", err, nil)
	part := sendPart(t, b, "contested", id, 1, []byte("ours"))
	_, err = b.Complete(t.Context(), "contested", id, []s3.Part{part}, s3.Cond{IfNoneMatch: true})
	want(t, "complete as new", err, s3.ErrPrecondition)
	_, err = b.Complete(t.Context(), "contested", id, []s3.Part{part}, s3.Cond{IfMatch: `"0123456789abcdef0123456789abcdef"`})
	want(t, "complete as edit of another", err, s3.ErrPrecondition)
	_, err = b.Complete(t.Context(), "contested", id, []s3.Part{part}, s3.Cond{IfMatch: theirs.ETag})
	want(t, "complete as edit", err, nil)
	if got := get(t, b, "contested"); string(got) != "ours" {
		t.Errorf("got %q", got)
	}
	id, err = b.CreateUpload(t.Context(), "absent", s3.Properties{})
	want(t, "create", err, nil)
	part = sendPart(t, b, "absent", id, 1, []byte("ours"))
	_, err = b.Complete(t.Context(), "absent", id, []s3.Part{part}, s3.Cond{IfMatch: theirs.ETag})
	want(t, "complete as edit of nothing", err, s3.ErrPrecondition)
	want(t, "abort", b.Abort(t.Context(), "absent", id), nil)
}
