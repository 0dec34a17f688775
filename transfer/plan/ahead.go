package plan

// fetchWindow requests what the read lacks and what fits into the window of its stream.
func (r *Readahead) fetchWindow(s *stream, slot int, off, end int64, d *Decision) {
	if s.dir < 0 {
		r.fetchBackwards(s, slot, off, d)
		return
	}
	if from := floor(off, r.block); from > s.edge {
		s.edge = from // the reader skipped some
	}
	begin := s.edge
	for s.edge < r.size {
		step := stagger(s.step(r.longest), s.hi+s.width-begin, s.edge-begin)
		if min(s.edge+step, r.size) > s.hi+s.width && s.edge >= end {
			break
		}
		for step > max(minRequest, s.width/32) && r.size-s.edge < 12*step {
			step /= 2 // so that the last requests end together
		}
		to := s.edge + step
		if s.width == 0 {
			to = end
		}
		to = min(ceil(to, r.block), r.size)
		d.Fetch = append(d.Fetch, Request{slot, s.edge, to - s.edge})
		s.edge = to
	}
}

// Refused says that a request was not sent, for want of memory. The stream asks again
// with its next read.
func (r *Readahead) Refused(q Request) {
	if q.Slot == Scatter {
		return
	}
	s := &r.streams[q.Slot]
	if s.dir < 0 {
		s.edge = max(s.edge, q.Off+q.N)
	} else {
		s.edge = min(s.edge, q.Off)
	}
}

// fetchBackwards is fetchWindow for a reader that goes towards the start.
func (r *Readahead) fetchBackwards(s *stream, slot int, off int64, d *Decision) {
	begin := s.edge
	for s.edge > 0 {
		step := stagger(s.step(r.longest), s.width-s.lo+begin, begin-s.edge)
		if s.edge <= off && max(s.edge-step, 0) < s.lo-s.width {
			break
		}
		from := max(floor(s.edge-step, r.block), 0)
		d.Fetch = append(d.Fetch, Request{slot, from, s.edge - from})
		s.edge = from
	}
}

// step is the size of one request, the longest that one should be.
func (s *stream) step(longest int64) int64 {
	n := int64(minRequest)
	for n < longest && n*16 <= s.width {
		n *= 2
	}
	return n
}

// stagger is the size of the next request of many that are sent at the same time: total
// bytes, of which some have been sent. They share the line, so the first ones are smaller.
// If all ended together, the line would be idle until the next ones are answered.
func stagger(step, total, sent int64) int64 {
	for few := 4 * step; total >= few && step > minRequest && step > max(total/16, sent/2); {
		step /= 2
	}
	return step
}
