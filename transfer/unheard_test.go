package transfer

import (
	"context"
	"net/http"
	"testing"
	"time"

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

// The copy of a rename is made, its answer is lost, and the bucket cannot be asked: the
// rename has failed, so the copy goes as soon as the bucket answers. One that replaced an
// object stays: the name would be empty without it.
func TestCopyOfAFailedRenameGoes(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for _, replaces := range []bool{false, true} {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.existing("old", []byte("data"))
				var victim *File
				if replaces {
					victim = g.existing("new", []byte("victim"))
				}
				copied := false
				g.server.Fault(func(r *http.Request) *s3test.Fault {
					if s3test.Op(r) == "CopyObject" && !copied {
						copied = true
						return &s3test.Fault{LoseAnswer: true}
					}
					if copied {
						return &s3test.Fault{Drop: true}
					}
					return nil
				})
				if _, err := g.engine.MoveObject(context.Background(), f, "new", victim, nil); err == nil {
					t.Fatal("the rename did not fail")
				}
				g.has("new", []byte("data")) // else this tells nothing
				if crash {
					g.crash()
				}
				g.server.Fault(nil)
				after(time.Minute)
				g.has("old", []byte("data"))
				if replaces {
					g.keys("new", "old")
				} else {
					g.keys("old")
				}
				g.idle()
			})
		}
	}
}
