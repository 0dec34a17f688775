// Package load reads files the way players and editors do, and times it. It
// reads from anything with ReadAt: a file in a mount, or an object through the
// raw client.
package load

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// Block is the size of a large read, in bytes.
const Block = 1 << 20

// align is where programs like to read.
const align = 4 << 10

// Random reads length bytes at each of count random places of the first size
// bytes, one after another, and stops early when most of time has passed. It
// returns how long each took, sorted.
func Random(r io.ReaderAt, size int64, length, count int, most time.Duration, seed uint64) ([]time.Duration, error) {
	places := rand.New(rand.NewPCG(seed, 1))
	buf := make([]byte, length)
	var took []time.Duration
	for end := time.Now().Add(most); len(took) < count && time.Now().Before(end); {
		off := places.Int64N((size-int64(length))/align) * align
		began := time.Now()
		if err := full(r, buf, off); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took, nil
}

// Sequential reads size bytes from off on, block by block.
func Sequential(r io.ReaderAt, off, size int64) error {
	return Interleaved(r, []int64{off}, size)
}

// Interleaved reads size bytes from each start on: a block of the first, a
// block of the second, and so on in turns, as a player reads its tracks.
func Interleaved(r io.ReaderAt, starts []int64, size int64) error {
	buf := make([]byte, Block)
	for at := int64(0); at < size; at += Block {
		for _, start := range starts {
			if err := full(r, buf[:min(Block, size-at)], start+at); err != nil {
				return err
			}
		}
	}
	return nil
}

// full is ReadAt that must fill p. At the end of a file ReadAt may add io.EOF.
func full(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n < len(p) {
		return fmt.Errorf("read at %d: %d of %d bytes: %w", off, n, len(p), err)
	}
	return nil
}
