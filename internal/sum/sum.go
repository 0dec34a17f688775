// Package sum takes the checksums of bytes that stores compare, and combines those of
// neighbouring runs. It never reads or keeps bytes.
package sum

import (
	"hash/crc32"

	"github.com/minio/crc64nvme"
)

// Sums are the two checksums of one run of bytes that stores combine to those of whole
// objects. Both are taken at once, since reading the bytes again costs more. The zero
// Sums are those of no bytes.
type Sums struct {
	CRC64NVME uint64
	CRC32C    uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The polynomials, lowest power in the highest bit.
const (
	poly64 uint64 = 0x9a6c9329ac4bc9b5
	poly32 uint32 = crc32.Castagnoli
)

// Of is the checksums of p.
func Of(p []byte) (s Sums) {
	s.Add(p)
	return s
}

// Add goes on with p.
func (s *Sums) Add(p []byte) {
	s.CRC64NVME = crc64nvme.Update(s.CRC64NVME, p)
	s.CRC32C = crc32.Update(s.CRC32C, castagnoli, p)
}

// Write is Add, and never fails.
func (s *Sums) Write(p []byte) (int, error) {
	s.Add(p)
	return len(p), nil
}

// Then is the checksums of two runs of bytes, one after the other; the second has n
// bytes.
func (s Sums) Then(second Sums, n int64) Sums {
	return Sums{
		multiply(power(n, poly64), s.CRC64NVME, poly64) ^ second.CRC64NVME,
		multiply(power(n, poly32), s.CRC32C, poly32) ^ second.CRC32C,
	}
}

// Blocks is Then for blocks of the same length, all but the last.
func Blocks(sums []Sums, length, last int64) (all Sums) {
	by64, by32 := power(length, poly64), power(length, poly32)
	for i, s := range sums {
		if i == len(sums)-1 {
			return all.Then(s, last)
		}
		all.CRC64NVME = multiply(by64, all.CRC64NVME, poly64) ^ s.CRC64NVME
		all.CRC32C = multiply(by32, all.CRC32C, poly32) ^ s.CRC32C
	}
	return all
}

type word interface{ uint32 | uint64 }

// one is x^0.
func one[W word]() W { return ^(^W(0) >> 1) }

// power is x^(8n) modulo the polynomial: what n bytes that follow multiply a checksum by.
func power[W word](n int64, poly W) W {
	product, square := one[W](), one[W]()>>8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			product = multiply(square, product, poly)
		}
		square = multiply(square, square, poly)
	}
	return product
}

// multiply is a*b modulo the polynomial.
func multiply[W word](a, b, poly W) (product W) {
	for bit := one[W](); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		odd := b & 1
		b >>= 1
		if odd != 0 {
			b ^= poly
		}
	}
	return product
}
