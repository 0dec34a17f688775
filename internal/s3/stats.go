package s3

import "sync/atomic"

// operations are the requests this package sends, in the order of Stats.
var operations = [...]string{
	"HeadBucket", "ListObjectsV2", "HeadObject", "GetObject", "PutObject", "CopyObject", "DeleteObject",
	"CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload", "AbortMultipartUpload",
	"ListParts", "ListMultipartUploads", "other",
}

// Stats is what a Bucket has sent and received since it was opened.
type Stats struct {
	Requests map[string]int64 // by operation; each try counts
	Failures int64            // tries without an answer, or with a status of 400 and above
	Up, Down int64            // bytes of bodies
}

// counters are the live numbers.
type counters struct {
	requests           [len(operations)]atomic.Int64
	failures, up, down atomic.Int64
	trouble            atomic.Int32 // status of the last answer where that says that the server could not; 0: it could
}

func (c *counters) request(op string) {
	for i := range operations {
		if operations[i] == op {
			c.requests[i].Add(1)
			return
		}
	}
	c.requests[len(operations)-1].Add(1)
}

// Stats gives the numbers of now.
func (b *Bucket) Stats() Stats {
	c := &b.http.count
	s := Stats{Requests: make(map[string]int64), Failures: c.failures.Load(), Up: c.up.Load(), Down: c.down.Load()}
	for i, op := range operations {
		if n := c.requests[i].Load(); n > 0 {
			s.Requests[op] = n
		}
	}
	return s
}
