package plan

// Piece is one part of an edited object: a range that the server copies from the
// base, or one that is sent.
type Piece struct {
	Off, Len int64
	Copy     bool
}

// sendPart is the size of the parts in which long runs of data are sent.
const sendPart = 16 << 20

// Edit cuts an edited file into the parts of a multipart upload. Runs of the base
// become copies of at most MaxPart; everything else is sent. A sent run below
// MinPart borrows bytes from the base next to it, and a run of the base that is
// too short to be a part is sent: the ranges of a Piece without Copy may thus hold
// base bytes, which have to be fetched first (Borrowed).
//
// The pieces cover the file exactly and in order; each but the last has at least
// MinPart bytes; there are at most MaxParts.
func Edit(e *Extents) []Piece {
	for gap := int64(MinPart); ; gap *= 2 {
		pieces := split(widen(runs(e, gap), e.Size()))
		if len(pieces) <= MaxParts || gap > e.Size() {
			return pieces
		}
	}
}

// runs joins the extents to runs of copied and sent bytes. A copied run shorter
// than gap between sent ones is sent with them.
func runs(e *Extents, gap int64) []Piece {
	var out []Piece
	for _, x := range e.list {
		copied := x.Kind == Base && x.Len >= gap
		if k := len(out) - 1; k >= 0 && out[k].Copy == copied {
			out[k].Len += x.Len
		} else {
			out = append(out, Piece{x.Off, x.Len, copied})
		}
	}
	return out
}

// widen lets sent runs that are too short take bytes from the copied runs beside
// them. A copied run that would become too short joins the sent one.
func widen(in []Piece, size int64) []Piece {
	var out []Piece
	for i := 0; i < len(in); i++ {
		p := in[i]
		if k := len(out) - 1; k >= 0 && out[k].Copy == p.Copy {
			out[k].Len += p.Len
			continue
		}
		if p.Copy || p.Len >= MinPart {
			out = append(out, p)
			continue
		}
		need := MinPart - p.Len
		if i+1 < len(in) { // from the copied run behind
			take := need
			if rest := in[i+1].Len - take; rest < MinPart && in[i+1].Off+in[i+1].Len != size || rest <= 0 {
				take = in[i+1].Len
			}
			p.Len += take
			in[i+1].Off += take
			in[i+1].Len -= take
			if in[i+1].Len == 0 {
				i++
			}
		} // the last part may be short
		out = append(out, p)
	}
	return out
}

// split cuts runs that are larger than a part may be into equal pieces.
func split(in []Piece) []Piece {
	var out []Piece
	for _, p := range in {
		limit := int64(MaxPart)
		if !p.Copy {
			limit = max(sendPart, (p.Len+MaxParts/2-1)/(MaxParts/2))
		}
		n := (p.Len + limit - 1) / limit
		size := (p.Len + n - 1) / n
		for off := p.Off; off < p.Off+p.Len; off += size {
			out = append(out, Piece{off, min(size, p.Off+p.Len-off), p.Copy})
		}
	}
	return out
}

// Borrowed is the ranges of the base that the sent pieces hold.
func Borrowed(e *Extents, pieces []Piece) []Extent {
	var out []Extent
	for _, p := range pieces {
		if p.Copy {
			continue
		}
		for _, x := range e.Range(p.Off, p.Len) {
			if x.Kind == Base {
				out = append(out, x)
			}
		}
	}
	return out
}
