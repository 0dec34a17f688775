// Package sum takes the checksums of bytes that stores compare, and combines those of
// neighbouring runs. It never reads or keeps bytes.
package sum

import (
	"hash/crc32"

	"github.com/minio/crc64nvme"
)

// Sums are the checksums of one run of bytes that stores combine to those of whole objects.
// The zero Sums are those of no bytes.
type Sums struct {
	CRC64NVME uint64
	CRC32C    uint32
	CRC32     uint32 // taken by Only alone: nothing is sent with it
}

// Kind is a set of the checksums in Sums.
type Kind uint8

const (
	CRC64NVME Kind = 1 << iota
	CRC32C
	CRC32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The polynomials, lowest power in the highest bit.
const (
	poly64  uint64 = 0x9a6c9329ac4bc9b5
	poly32c uint32 = crc32.Castagnoli
	poly32  uint32 = crc32.IEEE
)

// Of is the CRC64NVME and the CRC32C of p. Both are taken at once, since reading the bytes
// again costs more.
func Of(p []byte) (s Sums) {
	s.Add(p)
	return s
}

// Add goes on with p.
func (s *Sums) Add(p []byte) {
	s.CRC64NVME = crc64nvme.Update(s.CRC64NVME, p)
	s.CRC32C = crc32.Update(s.CRC32C, castagnoli, p)
}

// Only is the checksums of p that are in the set; the others are zero.
func Only(set Kind, p []byte) (s Sums) {
	if set&CRC64NVME != 0 {
		s.CRC64NVME = crc64nvme.Checksum(p)
	}
	if set&CRC32C != 0 {
		s.CRC32C = crc32.Checksum(p, castagnoli)
	}
	if set&CRC32 != 0 {
		s.CRC32 = crc32.ChecksumIEEE(p)
	}
	return s
}

// Same tells whether those in the set are equal.
func (s Sums) Same(t Sums, set Kind) bool {
	return (set&CRC64NVME == 0 || s.CRC64NVME == t.CRC64NVME) &&
		(set&CRC32C == 0 || s.CRC32C == t.CRC32C) &&
		(set&CRC32 == 0 || s.CRC32 == t.CRC32)
}

// Write is Add, and never fails.
func (s *Sums) Write(p []byte) (int, error) {
	s.Add(p)
	return len(p), nil
}

// Then is the checksums of two runs of bytes, one after the other; the second has n
// bytes.
func (s Sums) Then(second Sums, n int64) Sums {
	return s.then(second, power(n, poly64), power(n, poly32c), power(n, poly32))
}

func (s Sums) then(second Sums, by64 uint64, by32c, by32 uint32) Sums {
	return Sums{
		multiply(by64, s.CRC64NVME, poly64) ^ second.CRC64NVME,
		multiply(by32c, s.CRC32C, poly32c) ^ second.CRC32C,
		multiply(by32, s.CRC32, poly32) ^ second.CRC32,
	}
}

// Blocks is Then for blocks of the same length, all but the last.
func Blocks(sums []Sums, length, last int64) (all Sums) {
	by64, by32c, by32 := power(length, poly64), power(length, poly32c), power(length, poly32)
	for i, s := range sums {
		if i == len(sums)-1 {
			return all.Then(s, last)
		}
		all = all.then(s, by64, by32c, by32)
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
