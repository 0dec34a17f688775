package transfer

import (
	"maps"
	"slices"
	"time"
)

// partsInARow is how many parts of one upload may fail one after the other before the others
// wait: a server that takes none costs the link a whole part with each try.
const partsInARow = 8

// retries is what an upload knows of the parts that failed. Guarded by File.mu.
type retries struct {
	inARow int // failures since a part was taken
	probe  int // the part that tries for all, while inARow is at its limit; 0: none
}

// partFailed lets a part wait for its next try. The caller holds f.mu.
func (f *File) partFailed(j partJob, p *part) {
	s := j.s
	r := &s.retries
	p.state = partQueued
	p.misses++
	pause := backoff(p.misses)
	if r.inARow++; r.inARow >= partsInARow {
		if r.probe == 0 {
			r.probe = j.n
		}
		if j.n != r.probe {
			p.rests = true
			return
		}
	}
	p.again = time.Now().Add(pause)
	p.timer = time.AfterFunc(pause, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.submitPart(j)
	})
}

// mayTry tells whether part n may be sent while the bucket takes none.
func (r *retries) mayTry(n int) bool { return r.inARow < partsInARow || n == r.probe }

// tryAll lets every part go on that rests, since one was taken or nobody tries for them. The
// caller holds f.mu.
func (f *File) tryAll(c *content, s *upload) {
	none := s.retries.probe == 0
	s.retries = retries{}
	if none {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(s.parts)) {
		if p := s.parts[n]; p.rests {
			p.rests = false
			f.submitPart(partJob{c, s, n})
		}
	}
}
