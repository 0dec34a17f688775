package disk

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"s3mount/internal/mem"
)

const (
	formatVersion = 1
	headerSize    = 4096
	recordSize    = 64
	magic         = "s3mblock"
)

// header is the first page of the index:
//
//	 0  8  magic
//	 8  4  format version
//	12  4  block size
//	16 32  SHA-256 of the identity
//	48  8  salt
//	56  8  xxh3 of the 56 bytes before
//
// All numbers are little-endian.
type header struct {
	identity [32]byte
	salt     uint64 // random; records of another salt are not ours
}

func identityOf(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func (h *header) encode() []byte {
	p := make([]byte, headerSize)
	copy(p, magic)
	binary.LittleEndian.PutUint32(p[8:], formatVersion)
	binary.LittleEndian.PutUint32(p[12:], mem.BlockSize)
	copy(p[16:], h.identity[:])
	binary.LittleEndian.PutUint64(p[48:], h.salt)
	binary.LittleEndian.PutUint64(p[56:], xxh3.Hash(p[:56]))
	return p
}

// decodeHeader tells whether p is the header of an index of this format.
func decodeHeader(p []byte) (h header, ok bool) {
	if len(p) < headerSize || string(p[:8]) != magic ||
		binary.LittleEndian.Uint32(p[8:]) != formatVersion ||
		binary.LittleEndian.Uint32(p[12:]) != mem.BlockSize ||
		binary.LittleEndian.Uint64(p[56:]) != xxh3.Hash(p[:56]) {
		return h, false
	}
	copy(h.identity[:], p[16:])
	h.salt = binary.LittleEndian.Uint64(p[48:])
	return h, true
}

// record says what lies in a slot:
//
//	 0 16  content ID
//	16  8  number of the block in its content
//	24  4  bytes in the block
//	28  1  1: the slot is used
//	29  1  1: in the main queue
//	30  1  uses
//	31  1  zero
//	32  8  xxh3 of the bytes
//	40  8  stamp: records are numbered in the order in which they were written
//	48  8  zero
//	56  8  xxh3 of the 56 bytes before, seeded with salt and slot number
//
// A record of zeros is an empty slot. One whose last field is wrong was cut, damaged or
// moved, and counts as empty.
type record struct {
	id    ID
	index int64
	size  uint32
	main  bool
	uses  uint8
	sum   uint64
	stamp uint64
}

func (r *record) encode(p []byte, salt uint64, slot uint32) {
	clear(p[:recordSize])
	copy(p, r.id[:])
	binary.LittleEndian.PutUint64(p[16:], uint64(r.index))
	binary.LittleEndian.PutUint32(p[24:], r.size)
	p[28] = 1
	if r.main {
		p[29] = 1
	}
	p[30] = r.uses
	binary.LittleEndian.PutUint64(p[32:], r.sum)
	binary.LittleEndian.PutUint64(p[40:], r.stamp)
	binary.LittleEndian.PutUint64(p[56:], recordSum(p, salt, slot))
}

func decodeRecord(p []byte, salt uint64, slot uint32) (r record, ok bool) {
	if p[28] != 1 || binary.LittleEndian.Uint64(p[56:]) != recordSum(p, salt, slot) {
		return r, false
	}
	copy(r.id[:], p)
	r.index = int64(binary.LittleEndian.Uint64(p[16:]))
	r.size = binary.LittleEndian.Uint32(p[24:])
	r.main, r.uses = p[29] == 1, min(p[30], maxUses)
	r.sum = binary.LittleEndian.Uint64(p[32:])
	r.stamp = binary.LittleEndian.Uint64(p[40:])
	return r, r.size <= mem.BlockSize
}

func recordSum(p []byte, salt uint64, slot uint32) uint64 {
	return xxh3.HashSeed(p[:56], salt+uint64(slot))
}

// hashOf is the key of a block in memory. Two blocks may share one: the record tells.
func hashOf(id ID, index int64, salt uint64) uint64 {
	var b [24]byte
	copy(b[:], id[:])
	binary.LittleEndian.PutUint64(b[16:], uint64(index))
	return xxh3.HashSeed(b[:], salt)
}
