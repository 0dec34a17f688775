package transfer

import (
	"io"

	"s3mount/internal/sum"
	"s3mount/transfer/plan"
)

// partSums takes the checksums of parts from the written bytes themselves, before
// they reach the disk, so that the server notices what the disk or the network
// changed. It follows one sequential run of writes; parts written in another order
// have no sum, and get one from the spool.
type partSums struct {
	done map[int]partSum
	run  partSum // the part that is being written
	n    int     // its number
}

type partSum struct {
	off, size int64
	sums      sum.Sums
}

// add takes the bytes p at off.
func (s *partSums) add(l plan.Layout, p []byte, off int64) {
	if off != s.run.off+s.run.size {
		s.n = 0
	}
	for n := l.At(off); len(s.done) > 0 && n <= l.At(off+int64(len(p))-1); n++ {
		delete(s.done, n)
	}
	for len(p) > 0 {
		n := l.At(off)
		start, size := l.Part(n)
		if s.n != n {
			s.n = 0
			if off == start {
				s.n, s.run = n, partSum{off: start}
			}
		}
		k := min(int64(len(p)), start+size-off)
		if s.n == n {
			s.run.sums.Add(p[:k])
			s.run.size += k
			if s.run.size == size {
				s.keep()
			}
		}
		p, off = p[k:], off+k
	}
}

func (s *partSums) keep() {
	if s.done == nil {
		s.done = map[int]partSum{}
	}
	s.done[s.n] = s.run
}

// forget drops the sums of parts that hold any byte of [from, to).
func (s *partSums) forget(from, to int64) {
	for n, d := range s.done {
		if d.off < to && from < d.off+d.size {
			delete(s.done, n)
		}
	}
	if s.n != 0 && s.run.off < to && from < s.run.off+s.run.size {
		s.n = 0
	}
}

// get is those of exactly [off, off+size).
func (s *partSums) get(n int, off, size int64) (_ sum.Sums, ok bool) {
	d, ok := s.done[n]
	if !ok && s.n == n {
		d, ok = s.run, true
	}
	return d.sums, ok && d.off == off && d.size == size
}

// sumOf takes the checksums of a body, and goes back to its start.
func sumOf(body *body) (sums sum.Sums, err error) {
	if _, err = body.WriteTo(&sums); err == nil {
		_, err = body.Seek(0, io.SeekStart)
	}
	return sums, err
}
