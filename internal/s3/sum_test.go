package s3

import (
	"testing"

	"github.com/minio/crc64nvme"
)

func TestCombine(t *testing.T) {
	data := make([]byte, 100000)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	whole := crc64nvme.Checksum(data)
	for _, cut := range []int{0, 1, 7, 4096, 65537, len(data)} {
		got := Combine(crc64nvme.Checksum(data[:cut]), crc64nvme.Checksum(data[cut:]), int64(len(data)-cut))
		if got != whole {
			t.Errorf("cut at %d: got %x; want %x", cut, got, whole)
		}
	}
}

func TestCombineBlocks(t *testing.T) {
	data := make([]byte, 3000)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	var sums []uint64
	for off := 0; off < len(data); off += 700 {
		sums = append(sums, crc64nvme.Checksum(data[off:min(off+700, len(data))]))
	}
	if got, want := CombineBlocks(sums, 700, 200), crc64nvme.Checksum(data); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}

func BenchmarkCombine(b *testing.B) {
	for b.Loop() {
		Combine(1, 2, 5<<30)
	}
}
