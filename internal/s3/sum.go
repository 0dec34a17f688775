package s3

// polynomial of CRC64NVME, lowest power in the highest bit.
const polynomial = 0x9a6c9329ac4bc9b5

// Combine gives the CRC64NVME of two runs of bytes, one after the other, from
// the sums of both and the length of the second.
func Combine(first, second uint64, secondLen int64) uint64 {
	shift := uint64(1) << 63  // x^0
	square := uint64(1) << 55 // x^8: one byte
	for n := secondLen; n > 0; n >>= 1 {
		if n&1 != 0 {
			shift = multiply(square, shift)
		}
		square = multiply(square, square)
	}
	return multiply(shift, first) ^ second
}

// CombineBlocks is Combine for blocks of the same length, all but the last.
func CombineBlocks(sums []uint64, length, lastLength int64) (crc uint64) {
	shift := Combine(1<<63, 0, length) // x^0, moved by a block
	for i, sum := range sums {
		if i == len(sums)-1 {
			return Combine(crc, sum, lastLength)
		}
		crc = multiply(shift, crc) ^ sum
	}
	return crc
}

// multiply is a*b modulo the polynomial.
func multiply(a, b uint64) uint64 {
	var product uint64
	for bit := uint64(1) << 63; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		odd := b & 1
		b >>= 1
		if odd != 0 {
			b ^= polynomial
		}
	}
	return product
}

// wholeSum combines the checksums of the parts, if all have one.
func wholeSum(parts []Part) (crc uint64, ok bool) {
	for _, p := range parts {
		if p.CRC64NVME == nil {
			return 0, false
		}
		crc = Combine(crc, *p.CRC64NVME, p.Size)
	}
	return crc, len(parts) > 0
}
