package s3_test

import (
	"bytes"
	"net/http"
	"testing"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/internal/sum"
)

// An upload that an earlier process began with another checksum goes on with that one, and
// whatever else is sent does not.
func TestUploadKeepsItsChecksum(t *testing.T) {
	for _, kind := range []string{"CRC64NVME", "CRC32C", "CRC32"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
				data := noise(fiveMiB+1000, 7)
				b.UseSum(kind)
				id, err := b.CreateUpload(t.Context(), "k", s3.Properties{})
				want(t, "create", err, nil)
				sendPart(t, b, "k", id, 1, data[:fiveMiB])

				later := s3test.Bucket(t, srv)
				listed, err := later.ListParts(t.Context(), "k", id)
				want(t, "list", err, nil)
				sums := sum.Of(data[:fiveMiB])
				if len(listed) != 1 || listed[0].Sum.Comparable() != (kind != "CRC32") || listed[0].Sum.Comparable() && !listed[0].Sum.Is(sums) {
					t.Fatalf("parts are %+v", listed)
				}
				listed[0].Sums = &sums
				srv.Fault(func(r *http.Request) *s3test.Fault {
					if s3test.Op(r) == "CompleteMultipartUpload" && kind != "CRC32" {
						expectWhole(t, r, kind, data)
					}
					return nil
				})
				srv.ClearRequests()
				last := sendPart(t, later, "k", id, 2, data[fiveMiB:])
				if n := srv.Count("UploadPart"); n != 1 {
					t.Errorf("the part was sent %d times", n)
				}
				_, err = later.Complete(t.Context(), "k", id, []s3.Part{listed[0], last}, s3.Cond{})
				want(t, "complete", err, nil)
				if got := later.SumInUse(); got != "CRC32C" || !bytes.Equal(get(t, later, "k"), data) {
					t.Errorf("%s goes with bytes now, or the object has others", got)
				}
			})
		})
	}
}

func expectWhole(t *testing.T, r *http.Request, kind string, data []byte) {
	t.Helper()
	for _, k := range []string{"CRC64NVME", "CRC32C"} {
		want := ""
		if k == kind {
			want = s3test.SumOf(k, data)
		}
		if got := r.Header.Get("X-Amz-Checksum-" + k); got != want {
			t.Errorf("the whole has the %s %q, want %q", k, got, want)
		}
	}
}

// A server that takes a checksum for an upload and refuses it for the parts gets another one.
func TestUploadWhosePartsRefuseItsChecksum(t *testing.T) {
	inBubble(t, func(t *testing.T, srv *s3test.Server, b *s3.Bucket) {
		id, err := b.CreateUpload(t.Context(), "k", s3.Properties{})
		want(t, "create", err, nil)
		srv.Fault(func(r *http.Request) *s3test.Fault {
			if s3test.Op(r) == "UploadPart" && r.Header.Get("X-Amz-Checksum-Crc32c") != "" {
				return &s3test.Fault{Status: http.StatusNotImplemented, Code: "NotImplemented"}
			}
			return nil
		})
		_, err = b.UploadPart(t.Context(), "k", id, 1, bytes.NewReader([]byte("part")), 4, new(sum.Of([]byte("part"))))
		if err == nil || srv.Count("UploadPart") < 2 {
			t.Errorf("%v after %d tries; this server takes no others for the upload", err, srv.Count("UploadPart"))
		}
	})
}
