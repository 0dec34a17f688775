package sum

import (
	"hash/crc32"
	"testing"

	"github.com/minio/crc64nvme"
)

func sample(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	return data
}

// TestOf compares with the check values of both algorithms' definitions.
func TestOf(t *testing.T) {
	if got := Of([]byte("123456789")); got != (Sums{0xae8b14860a799888, 0xe3069283}) {
		t.Errorf("got %x", got)
	}
	data := sample(100000)
	want := Sums{crc64nvme.Checksum(data), crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))}
	var s Sums
	for len(data) > 0 {
		k := min(777, len(data))
		s.Write(data[:k])
		data = data[k:]
	}
	if s != want {
		t.Errorf("in pieces %x, want %x", s, want)
	}
}

func TestThen(t *testing.T) {
	data := sample(100000)
	whole := Of(data)
	for _, cut := range []int{0, 1, 7, 4096, 65537, len(data)} {
		if got := Of(data[:cut]).Then(Of(data[cut:]), int64(len(data)-cut)); got != whole {
			t.Errorf("cut at %d: got %x; want %x", cut, got, whole)
		}
	}
}

func TestBlocks(t *testing.T) {
	data := sample(3000)
	var sums []Sums
	for off := 0; off < len(data); off += 700 {
		sums = append(sums, Of(data[off:min(off+700, len(data))]))
	}
	if got, want := Blocks(sums, 700, 200), Of(data); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := Blocks(nil, 700, 0); got != (Sums{}) {
		t.Errorf("no blocks: %x", got)
	}
}

func BenchmarkOf(b *testing.B) {
	data := sample(256 << 10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		Of(data)
	}
}

func BenchmarkThen(b *testing.B) {
	for b.Loop() {
		Sums{}.Then(Sums{1, 2}, 5<<30)
	}
}
