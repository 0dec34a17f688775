package main

import (
	"errors"
	"time"

	"s3mount/internal/s3"
	"s3mount/transfer"
)

// PendingFile is a file that is not in the bucket as it is here. docs/STATUS.md
// describes the fields.
type PendingFile struct {
	Path       string     `json:"path"`
	Key        string     `json:"key"`
	State      string     `json:"state"`
	Open       bool       `json:"open"`
	Overflowed bool       `json:"overflowed"`
	Size       int64      `json:"size"`
	BytesTotal int64      `json:"bytes_total"`
	BytesDone  int64      `json:"bytes_done"`
	PartsTotal int        `json:"parts_total"`
	PartsDone  int        `json:"parts_done"`
	Error      string     `json:"error,omitempty"`
	Remedy     string     `json:"remedy,omitempty"`
	NextTry    *time.Time `json:"next_try,omitempty"`
}

// totals is how far a mount, or a part of it, is.
type totals struct {
	FilesLeft      int        `json:"files_left"`
	BytesLeft      int64      `json:"bytes_left"`
	BytesPerSecond int64      `json:"bytes_per_second"`
	ETASeconds     *int64     `json:"eta_seconds"`
	SpoolUsed      int64      `json:"spool_used"`
	SpoolLimit     int64      `json:"spool_limit"`
	OfflineSince   *time.Time `json:"offline_since,omitempty"`
}

// backlog is what is not in the bucket yet.
type backlog struct {
	totals
	Files []PendingFile `json:"files"`
}

// mountStatus is what `s3mount status --json` prints for each mount.
type mountStatus struct {
	record
	State string `json:"state"` // "mounted", "draining", "ended"
	backlog
}

// waited is how a wait ended: well when nothing is left.
type waited struct {
	backlog        // what is left below the path
	Error   string `json:"error,omitempty"` // one line
	Remedy  string `json:"remedy,omitempty"`
}

// stuck is the files that need somebody.
func (r *backlog) stuck() []PendingFile { return r.in(transfer.StateFailed) }

// writing is the files that are open for writing.
func (r *backlog) writing() []PendingFile { return r.in(transfer.StateWriting) }

func (r *backlog) in(state transfer.State) []PendingFile {
	var out []PendingFile
	for _, f := range r.Files {
		if f.State == string(state) {
			out = append(out, f)
		}
	}
	return out
}

// Backlog is what is not in the bucket at a path or below it. The path is relative to
// the mountpoint, with slashes; empty means everything.
func (s *session) Backlog(path string) backlog {
	r := backlog{Files: []PendingFile{}}
	for _, f := range s.engine.Status(s.top(path)) {
		r.Files = append(r.Files, s.pending(&f))
		r.BytesLeft += f.Left()
	}
	r.FilesLeft = len(r.Files)
	r.SpoolUsed, r.SpoolLimit = s.journal.Spool.Used(), s.journal.Spool.Limit()
	t := s.bucket.Traffic()
	r.BytesPerSecond = t.Up
	if t.Up > 0 && r.BytesLeft > 0 {
		eta := (r.BytesLeft + t.Up - 1) / t.Up
		r.ETASeconds = &eta
	}
	if !t.FailingSince.IsZero() {
		since := t.FailingSince.UTC()
		r.OfflineSince = &since
	}
	return r
}

// top is the key of a path; empty for the whole mount.
func (s *session) top(path string) string {
	if path == "" {
		return ""
	}
	return s.tree.Key(path)
}

func (s *session) pending(f *transfer.FileStatus) PendingFile {
	x := PendingFile{
		Path: s.tree.Path(f.Key), Key: f.Key, State: string(f.State), Open: f.Open, Overflowed: f.Overflowed, Size: f.Size,
		BytesTotal: f.Total, BytesDone: f.Done, PartsTotal: f.Parts, PartsDone: f.PartsDone,
	}
	if f.Err != nil {
		x.Error, x.Remedy = oneLine(f.Err.Error()), fileRemedy(f.Err)
	}
	if !f.NextTry.IsZero() {
		next := f.NextTry.UTC()
		x.NextTry = &next
	}
	return x
}

// fileRemedy says what to do about the failure of one file.
func fileRemedy(err error) string {
	switch {
	case errors.Is(err, transfer.ErrConflict):
		return "copy the file elsewhere, then give its edit up with: s3mount cancel PATH"
	case errors.Is(err, transfer.ErrUploadLost):
		return "write it again; what is left of this one goes with: s3mount cancel PATH"
	case errors.Is(err, s3.ErrDenied):
		return "ask the owner of the bucket for permission to write; then it goes on by itself, or at once with: s3mount retry PATH"
	}
	return remedyOf(err)
}
