package s3_test

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/sum"
)

const blockSize = 8 << 20

// The server runs in a process of its own, so the CPU time is the client's.
func benchmark(b *testing.B, run func(bucket *s3.Bucket, data []byte)) {
	bucket, err := s3.Open(b.Context(), startMinIO(b))
	if err != nil {
		b.Fatal(err)
	}
	defer bucket.Close()
	data := noise(blockSize, 1)
	run(bucket, data) // warm up
	b.SetBytes(blockSize)
	before := processorTime(b)
	b.ResetTimer()
	for b.Loop() {
		run(bucket, data)
	}
	used := processorTime(b) - before
	b.ReportMetric(used.Seconds()/float64(b.N)/blockSize*(1<<30), "cpu-s/GiB")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkGetRange(b *testing.B) {
	var etag string
	buf := make([]byte, blockSize)
	benchmark(b, func(bucket *s3.Bucket, data []byte) {
		if etag == "" {
			o, err := bucket.Put(b.Context(), "bench", bytes.NewReader(data), blockSize, nil, s3.Properties{}, s3.Cond{})
			if err != nil {
				b.Fatal(err)
			}
			etag = o.ETag
		}
		body, _, err := bucket.GetRange(b.Context(), "bench", etag, "", 0, blockSize)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(body, buf); err != nil {
			b.Fatal(err)
		}
		body.Close()
	})
}

func BenchmarkUploadPart(b *testing.B) {
	id := ""
	benchmark(b, func(bucket *s3.Bucket, data []byte) {
		var err error
		if id == "" {
			if id, err = bucket.CreateUpload(b.Context(), "bench", s3.Properties{}); err != nil {
				b.Fatal(err)
			}
		}
		sums := sum.Of(data)
		if _, err = bucket.UploadPart(b.Context(), "bench", id, 1, bytes.NewReader(data), blockSize, &sums); err != nil {
			b.Fatal(err)
		}
	})
}
