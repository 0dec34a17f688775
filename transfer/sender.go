package transfer

import "sync"

// sender runs part uploads, a bounded number at once, in the order in which they
// became ready.
type sender struct {
	mu     sync.Mutex
	limit  int
	active int
	jobs   []partJob
	wg     sync.WaitGroup
}

// partJob is one part of one content's upload.
type partJob struct {
	f *File
	c *content
	s *upload
	n int
}

// submit queues a part.
func (s *sender) submit(j partJob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, j)
	s.dispatch()
}

// dispatch starts what there is room for. The caller holds s.mu.
func (s *sender) dispatch() {
	for s.active < s.limit && len(s.jobs) > 0 {
		j := s.jobs[0]
		s.jobs[0] = partJob{}
		s.jobs = s.jobs[1:]
		s.active++
		s.wg.Go(func() {
			j.f.sendPart(j)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.active--
			s.dispatch()
		})
	}
}
