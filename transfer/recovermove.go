package transfer

import (
	"slices"

	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// recoverMoves settles what files have to do with the move of an object that a crash cut, and
// that is going to be completed: what was written to the moved file meanwhile follows it, since
// its bytes lie in the object that goes, and what the file had that was replaced goes. It
// returns the records as they are then.
func (e *Engine) recoverMoves(records []journal.Record) ([]journal.Record, error) {
	var put []journal.Record
	for i := range records {
		if move := &records[i]; isMove(move) {
			put = append(put, followMove(records, move)...)
			put = append(put, dropReplaced(records, move)...)
		}
	}
	if err := e.apply(put); err != nil {
		return nil, err
	}
	return records, nil
}

// isMove tells whether a record is one of moveRecord, or says the same.
func isMove(r *journal.Record) bool {
	if r.NoContent || r.Open || r.Base == nil || r.BaseID != "" || r.Base.Key == r.Key || r.Upload != nil {
		return false
	}
	for _, x := range r.Extents {
		if x.Kind != plan.Base {
			return false
		}
	}
	return slices.Contains(r.Delete, journal.Object{Key: r.Base.Key, ETag: r.Base.ETag})
}

// followMove gives the records of the file that was being moved its new key, and lets them build
// on what the move makes there.
func followMove(records []journal.Record, move *journal.Record) (put []journal.Record) {
	old := move.Base
	moved := map[string]bool{}
	for i := range records {
		r := &records[i]
		if r.NoContent || r.Open || r == move || r.Key != old.Key && r.Key != move.Key {
			continue
		}
		builds := r.BaseID == "" && r.Base != nil && r.Base.Key == r.Key &&
			(r.Key == old.Key && r.Base.ETag == old.ETag || r.Key == move.Key && r.Base.ETag != move.Replaces && r.Replaces != move.Replaces)
		if !builds && !moved[r.BaseID] {
			continue
		}
		moved[r.ID] = true
		if r.Key == old.Key {
			moveRecordTo(r, move.Key)
		}
		if r.Replaces = move.Replaces; builds {
			r.Base, r.BaseID = nil, move.ID
		}
		put = append(put, *r)
	}
	return put
}

// dropReplaced takes the contents away that the file had whose name the move takes. Their uploads
// are aborted, and what was to go with them goes with the move.
func dropReplaced(records []journal.Record, move *journal.Record) (put []journal.Record) {
	later := map[string]bool{move.ID: true} // versions of the file that is moved
	for i := range records {
		r := &records[i]
		if later[r.BaseID] {
			later[r.ID] = true
		}
		if r.NoContent || r.Open || later[r.ID] || r.Key != move.Key || r.Replaces != move.Replaces {
			continue
		}
		for _, o := range r.Delete {
			if o.Key != move.Key && !slices.Contains(move.Delete, o) {
				move.Delete = append(move.Delete, o)
			}
		}
		*r = journal.Record{ID: r.ID, Seq: r.Seq, NoContent: true, Upload: r.Upload, Creating: r.Creating}
		put = append(put, *r)
	}
	if len(put) > 0 {
		put = append(put, *move)
	}
	return put
}
