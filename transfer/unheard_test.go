package transfer

import (
	"net/http"
	"testing"

	"s3mount/internal/s3/s3test"
)

// The upload was completed, the answer was lost, its repetition met no upload, and the
// bucket could not be asked at once: nothing is sent again.
func TestCompletedUploadIsKnownAgainLater(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		completed, asked := 0, 0
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			switch s3test.Op(r) {
			case "CompleteMultipartUpload":
				if completed++; completed == 1 {
					return &s3test.Fault{LoseAnswer: true}
				}
			case "HeadObject":
				if asked++; completed > 0 && asked == 1 {
					return &s3test.Fault{Status: 403, Code: "AccessDenied"}
				}
			}
			return nil
		})
		data := writePattern(1, 17<<20)
		g.put("k", data)
		g.wait()
		g.has("k", data)
		g.keys("k")
		g.idle()
		if completed < 2 || asked < 2 {
			t.Errorf("completed %d times, asked %d times: this tells nothing", completed, asked)
		}
		if n := g.server.Count("CreateMultipartUpload"); n != 1 {
			t.Errorf("%d uploads were made, want 1", n)
		}
	})
}
