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
	if got := Of([]byte("123456789")); got != (Sums{CRC64NVME: 0xae8b14860a799888, CRC32C: 0xe3069283}) {
		t.Errorf("got %x", got)
	}
	data := sample(100000)
	want := Sums{CRC64NVME: crc64nvme.Checksum(data), CRC32C: crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))}
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
	whole := Only(all, data)
	for _, cut := range []int{0, 1, 7, 4096, 65537, len(data)} {
		if got := Only(all, data[:cut]).Then(Only(all, data[cut:]), int64(len(data)-cut)); got != whole {
			t.Errorf("cut at %d: got %x; want %x", cut, got, whole)
		}
	}
}

const all = CRC64NVME | CRC32C | CRC32

// TestOnly takes and compares each of them, and no other.
func TestOnly(t *testing.T) {
	p, q := []byte("123456789"), []byte("12345678")
	want := Of(p)
	want.CRC32 = 0xcbf43926
	if got := Only(all, p); got != want {
		t.Errorf("all: %x, want %x", got, want)
	}
	for kind, want := range map[Kind]Sums{
		CRC64NVME: {CRC64NVME: want.CRC64NVME}, CRC32C: {CRC32C: want.CRC32C}, CRC32: {CRC32: want.CRC32},
	} {
		if got := Only(kind, p); got != want {
			t.Errorf("%d: %x, want %x", kind, got, want)
		}
		if !Only(all, p).Same(want, kind) || Only(all, q).Same(want, kind) {
			t.Errorf("%d: compared wrong", kind)
		}
	}
}

func TestBlocks(t *testing.T) {
	data := sample(3000)
	var sums []Sums
	for off := 0; off < len(data); off += 700 {
		sums = append(sums, Only(all, data[off:min(off+700, len(data))]))
	}
	if got, want := Blocks(sums, 700, 200), Only(all, data); got != want {
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

func BenchmarkOnly(b *testing.B) {
	data := sample(256 << 10)
	for kind, name := range map[Kind]string{CRC64NVME: "CRC64NVME", CRC32C: "CRC32C", CRC32: "CRC32"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				Only(kind, data)
			}
		})
	}
}

func BenchmarkThen(b *testing.B) {
	for b.Loop() {
		Sums{}.Then(Sums{1, 2, 3}, 5<<30)
	}
}
