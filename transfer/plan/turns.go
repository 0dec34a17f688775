package plan

// observe notes how much of the time the reader leaves between its reads.
func (r *Readahead) observe(c *Conditions) {
	if r.started {
		took := min(c.Now-r.latest, paceTime)
		r.spent += took
		r.unused += min(c.Idle, took)
	}
	if r.spent > paceTime {
		r.spent, r.unused = r.spent/2, r.unused/2
	}
	r.latest = c.Now
	r.longest = maxRequest
	for c.Each > 0 && r.longest > minRequest && r.longest*second/c.Each > longRequest {
		r.longest /= 2
	}
	c.greedy = r.spent > 2*paceEpoch && r.unused < r.spent/2
}

// leave gives up the windows of streams which were left for the one that is read now: a
// seek. Where they were is remembered.
func (r *Readahead) leave(off, n int64, c Conditions) []int {
	var left []int
	patience := r.patience
	switch {
	case patience == 0 && c.RoundTrip > 0:
		patience = c.RoundTrip
	case patience == 0:
		patience = leftFor
	}
	for i := range r.streams {
		s := &r.streams[i]
		if s.reads == 0 || s.width == 0 || s.left || s.near(off, off+n) {
			continue
		}
		if c.Now-s.lastRead > max(patience, 8*s.gap) {
			left = append(left, i)
			s.left, s.width = true, 0
		}
	}
	return left
}

// comeBack is the stream that was left at off, -1 if none. Whoever reads several places in
// turns, each turn longer than was thought, is given more time for the next one.
func (r *Readahead) comeBack(off, now int64) int {
	for i := range r.streams {
		s := &r.streams[i]
		if !s.left || s.distance(off, off) > r.block {
			continue
		}
		r.patience = min(max(r.patience, 2*(now-s.lastRead)), longestLeft)
		s.left, s.edge, s.mark = false, floor(off, r.block), floor(off, r.block)
		if s.dir < 0 {
			s.edge, s.mark = ceil(off, r.block), ceil(off, r.block)
		}
		return i
	}
	return -1
}

// expect fetches what comes next at all places that were read: the reader came back to one
// of them, so it reads them in turns, and will come back to the others.
//
// Until then they look like jumps at random, each read to the end of its exact range:
// without this each would wait for a round trip once more.
func (r *Readahead) expect(c Conditions, d *Decision) {
	for i := range r.streams {
		s := &r.streams[i]
		if s.reads == 0 || s.left || s.width > 0 || s.dir < 0 || c.Now-s.lastRead > longestLeft {
			continue
		}
		s.cautious = false // its window opens when it is read
		if n := min(minRequest, r.size-s.edge); n > 0 && s.edge < s.hi+minRequest {
			d.Fetch = append(d.Fetch, Request{i, s.edge, n})
			s.edge += n
		}
	}
}

// others is how many streams beside slot have a window.
func (r *Readahead) others(slot int) int64 {
	n := int64(0)
	for i := range r.streams {
		if i != slot && r.streams[i].width > 0 {
			n++
		}
	}
	return n
}

// places is how many streams beside slot were not left.
func (r *Readahead) places(slot int) int64 {
	n := int64(0)
	for i := range r.streams {
		if s := &r.streams[i]; i != slot && s.reads > 0 && !s.left {
			n++
		}
	}
	return n
}

// Streams is how many streams have an open window.
func (r *Readahead) Streams() int {
	return int(r.others(-1))
}

// Idle gives up the streams without a read since the given time, and names their slots.
func (r *Readahead) Idle(since int64) []int {
	var left []int
	for i := range r.streams {
		if s := &r.streams[i]; s.reads > 0 && s.lastRead < since {
			left = append(left, i)
			*s = stream{}
			r.patience = 0
		}
	}
	return left
}
