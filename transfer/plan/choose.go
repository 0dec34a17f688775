package plan

// choice is a plan for the file up to the end of a run, or up to the beginning of
// the sent range that follows it. Plans are compared by cost, then by parts.
type choice struct {
	before *choice
	cost   int64 // base bytes that are sent, and the price of the parts
	parts  int64
	run    int   // the last copied run; -1: none
	front  int64 // bytes that it lends to the sent range before it
	back   int64 // bytes that the last copied run of before lends to that range
}

func (c *choice) better(o *choice) bool {
	return o == nil || c.cost < o.cost || c.cost == o.cost && c.parts < o.parts
}

// chooser looks for the best plan from the beginning of the file to its end, run
// by run. A run is copied, apart from what it lends, or sent whole.
//
// A sent range between two copied runs that is shorter than a part borrows what it
// lacks, no more, from either side, so each plan up to a run is described by its
// cost and by how much of that run is lent already; plans that are worse in both
// are dropped. A sent range that holds a whole run is long enough.
type chooser struct {
	limits
	runs  []Extent
	size  int64
	price int64 // of a part, in bytes
}

// choose returns the ranges that are copied in the best plan.
func (l limits) choose(runs []Extent, size, price int64) []Extent {
	c := chooser{l, runs, size, price}
	var last []*choice       // plans that copy the run before
	open := &choice{run: -1} // the best plan that sends the run before
	for i := range runs {
		copied, sent := c.step(i, last, open)
		last, open = copied, sent
	}
	best := (*choice)(nil)
	for _, p := range append(last, open) {
		if p == nil {
			continue
		}
		if end := c.closed(p, 0, c.size, 0); end.better(best) {
			best = end
		}
	}
	return c.copied(best.before, best.back)
}

// step extends the plans up to run i-1 by run i.
func (c *chooser) step(i int, last []*choice, open *choice) (copied []*choice, sent *choice) {
	x := c.runs[i]
	if open != nil {
		if gap := x.Off - c.end(open); i > 0 || gap == 0 || gap >= c.min { // behind a whole run, or at the start
			copied = c.add(copied, c.copyNext(open, i, 0, 0))
		} else if lack := c.min - gap; lack <= c.spare(i, 0) {
			copied = c.add(copied, c.copyNext(open, i, 0, lack))
		}
		sent = &choice{open.before, open.cost + x.Len, open.parts, open.run, open.front, open.back}
	}
	for _, p := range last {
		for _, back := range c.lendings(p, i) {
			lack := max(0, c.min-(x.Off-c.runs[i-1].End()))
			copied = c.add(copied, c.copyNext(p, i, back, lack-back))
		}
		skip := *p
		skip.cost += x.Len
		if sent == nil || c.priced(&skip, x.End()) < c.priced(sent, x.End()) {
			sent = &skip
		}
	}
	return copied, sent
}

// lendings are the amounts worth trying that run i-1 lends to the range before run
// i: most, least, and those that save one of them a part.
func (c *chooser) lendings(p *choice, i int) []int64 {
	a, b := c.runs[i-1], c.runs[i]
	lack := max(0, c.min-(b.Off-a.End()))
	low, high := max(0, lack-c.spare(i, 0)), min(lack, c.spare(i-1, p.front))
	if low > high {
		return nil
	}
	out := []int64{high}
	rest := a.Len - p.front
	for _, back := range []int64{low, rest - (partsOf(rest, c.copy)-1)*c.copy, lack - (b.Len - (partsOf(b.Len, c.copy)-1)*c.copy)} {
		if back >= low && back < high {
			out = append(out, back)
		}
	}
	return out
}

// spare is how much run i can lend and stay a part.
func (c *chooser) spare(i int, lent int64) int64 {
	least := c.min
	if c.runs[i].End() == c.size {
		least = 1
	}
	return c.runs[i].Len - lent - least
}

// end is where the last copied run of p ends.
func (c *chooser) end(p *choice) int64 {
	if p.run < 0 {
		return 0
	}
	return c.runs[p.run].End()
}

// closed counts the parts of the last copied run of p, which lends back, and of the
// sent range from there to off, of which run lends front.
func (c *chooser) closed(p *choice, back, off, front int64) *choice {
	n := partsOf(off-c.end(p)+back+front, c.send)
	if p.run >= 0 {
		n += partsOf(c.runs[p.run].Len-p.front-back, c.copy)
	}
	return &choice{before: p, cost: p.cost + back + front + n*c.price, parts: p.parts + n, back: back, front: front}
}

// copyNext is p with run i copied next.
func (c *chooser) copyNext(p *choice, i int, back, front int64) *choice {
	n := c.closed(p, back, c.runs[i].Off, front)
	n.run = i
	return n
}

// priced is the cost of p if everything from its last copied run to end is sent.
func (c *chooser) priced(p *choice, end int64) int64 {
	return c.closed(p, 0, end, 0).cost
}

// add puts p into the list unless a plan there is as good in all, and drops those
// to which p is.
func (c *chooser) add(list []*choice, p *choice) []*choice {
	kept := list[:0]
	for _, o := range list {
		if !p.better(o) && o.front <= p.front {
			return list
		}
		if o.better(p) || o.front < p.front {
			kept = append(kept, o)
		}
	}
	return append(kept, p)
}

// copied lists the copied ranges of a plan whose last run lends back.
func (c *chooser) copied(p *choice, back int64) []Extent {
	var out []Extent
	for ; p.run >= 0; back, p = p.back, p.before {
		x := c.runs[p.run]
		out = append(out, Extent{x.Off + p.front, x.Len - p.front - back, Base})
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}
