package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"s3mount/internal/sum"
	"s3mount/transfer/plan"
)

// ErrDamaged: the spool file is not what it was when its record was written.
var ErrDamaged = errors.New("the bytes on this disk are not those that were written")

// Sums are checksums of the bytes in a spool file, as of its record: one for each
// part of the layout that holds any, over those bytes of it in order.
type Sums struct {
	PartSize  int64  `json:"part_size,omitempty"` // of the layout; 0: growing
	Hint      int64  `json:"size_hint,omitempty"` // of the layout
	CRC64NVME []byte `json:"crc64nvme"`           // 8 bytes each, big endian
	CRC32C    []byte `json:"crc32c,omitempty"`    // 4 bytes each; records of earlier versions have none
}

// PartData is the bytes of one part that a spool file holds.
type PartData struct {
	Number int
	Ranges []plan.Extent
}

// DataParts divides the data of a content by the parts of a layout.
func DataParts(extents []plan.Extent, layout plan.Layout) []PartData {
	var out []PartData
	for _, x := range extents {
		if x.Kind != plan.Data {
			continue
		}
		for off := x.Off; off < x.End(); {
			n := layout.At(off)
			start, size := layout.Part(n)
			end := min(start+size, x.End())
			if k := len(out); k == 0 || out[k-1].Number != n {
				out = append(out, PartData{Number: n})
			}
			p := &out[len(out)-1]
			p.Ranges = append(p.Ranges, plan.Extent{Off: off, Len: end - off, Kind: plan.Data})
			off = end
		}
	}
	return out
}

// Sum reads the bytes and takes their checksums.
func (p PartData) Sum(r io.ReaderAt, buf []byte) (sums sum.Sums, err error) {
	for _, x := range p.Ranges {
		for off := x.Off; off < x.End(); {
			k := min(int64(len(buf)), x.End()-off)
			if _, err := r.ReadAt(buf[:k], off); err != nil {
				return sums, err
			}
			sums.Add(buf[:k])
			off += k
		}
	}
	return sums, nil
}

// Add appends the checksums of the next part.
func (s *Sums) Add(sums sum.Sums) {
	s.CRC64NVME = binary.BigEndian.AppendUint64(s.CRC64NVME, sums.CRC64NVME)
	s.CRC32C = binary.BigEndian.AppendUint32(s.CRC32C, sums.CRC32C)
}

// Cover tells whether there are both checksums of so many parts.
func (s *Sums) Cover(parts int) bool {
	return len(s.CRC64NVME) == 8*parts && len(s.CRC32C) == 4*parts
}

// At is the checksums of the i-th part, which are there.
func (s *Sums) At(i int) sum.Sums {
	return sum.Sums{CRC64NVME: binary.BigEndian.Uint64(s.CRC64NVME[8*i:]), CRC32C: binary.BigEndian.Uint32(s.CRC32C[4*i:])}
}

// Verify reads the bytes of a record and compares them with its checksums. It fails
// with ErrDamaged. What has no checksums passes: its bytes were to change.
func (r *Record) Verify(file io.ReaderAt) error {
	if r.Sums == nil {
		return nil
	}
	parts := DataParts(r.Extents, plan.Layout{Fixed: r.Sums.PartSize, Hint: r.Sums.Hint})
	if len(r.Sums.CRC64NVME) != 8*len(parts) {
		return fmt.Errorf("%w: %d checksums for %d parts", ErrDamaged, len(r.Sums.CRC64NVME)/8, len(parts))
	}
	buf := make([]byte, 1<<20)
	for i, p := range parts {
		got, err := p.Sum(file, buf)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if got.CRC64NVME != binary.BigEndian.Uint64(r.Sums.CRC64NVME[8*i:]) {
			return fmt.Errorf("%w: between byte %d and %d", ErrDamaged, p.Ranges[0].Off, p.Ranges[len(p.Ranges)-1].End())
		}
	}
	return nil
}

// HasData tells whether the record needs a spool file.
func (r *Record) HasData() bool {
	for _, x := range r.Extents {
		if x.Kind == plan.Data {
			return true
		}
	}
	return false
}

// verifyFile is Verify of the spool file at a path.
func (r *Record) verifyFile(path string) error {
	if !r.HasData() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer f.Close()
	return r.Verify(f)
}
