package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// sources are the files that are copied into mounts, made when they are first
// asked for. Their bytes do not compress, and are the same in every run.
type sources struct {
	dir  string
	sums map[string][sha256.Size]byte

	filmed bool // the footage is there
}

func newSources(dir string) *sources {
	return &sources{dir: dir, sums: map[string][sha256.Size]byte{}}
}

// noise fills b with bytes that depend on the seed only.
func noise(b []byte, seed uint64) {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(b) // it never fails
}

// file is a file of a size, and the sum of its bytes.
func (s *sources) file(name string, size int64, seed uint64) (string, [sha256.Size]byte, error) {
	path := filepath.Join(s.dir, name)
	if sum, made := s.sums[path]; made {
		return path, sum, nil
	}
	var sum [sha256.Size]byte
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", sum, err
	}
	f, err := os.Create(path)
	if err != nil {
		return "", sum, err
	}
	defer f.Close()
	h := sha256.New()
	block := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(block)) {
		n := min(size-at, int64(len(block)))
		noise(block[:n], seed+uint64(at>>20))
		h.Write(block[:n])
		if _, err := f.Write(block[:n]); err != nil {
			return "", sum, err
		}
	}
	h.Sum(sum[:0])
	s.sums[path] = sum
	return path, sum, f.Close()
}

// large is the file of a size that every workload uses.
func (s *sources) large(size int64) (string, [sha256.Size]byte, error) {
	return s.file(fmt.Sprintf("file-%d", size), size, 1)
}

// files is a directory of equal files.
func (s *sources) files(name string, count int, size int64) (string, error) {
	for i := range count {
		if _, _, err := s.file(filepath.Join(name, fmt.Sprintf("%04d.bin", i)), size, uint64(i)); err != nil {
			return "", err
		}
	}
	return filepath.Join(s.dir, name), nil
}
