package transfer

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"

	"s3mount/internal/s3"
	"s3mount/internal/sum"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// journal is what a later process needs to go on with the upload. The caller
// holds f.mu.
func (s *upload) journal() *journal.Upload {
	if s == nil || s.id == "" {
		return nil
	}
	u := &journal.Upload{Key: s.key, ID: s.id, PartSize: s.layout.Fixed, Hint: s.layout.Hint, Pieces: s.pieces, Meta: &s.meta}
	if s.replaces != nil {
		u.Replaces = s.replaces.ETag
	}
	return u
}

// resume takes up the upload of an earlier process: parts that the bucket has as
// the spool has them are not sent again. Where that cannot be, the upload is given
// up, and the content is sent anew.
func (f *File) resume(ctx context.Context, c *content) error {
	u := c.orphan
	copies := c.done != nil || !c.scratch() // otherwise there is nothing to copy from, or not any more
	if u.Meta == nil || copies != (u.Pieces != nil) {
		f.eng.abort(u.Key, u.ID)
		f.adopt(c, nil)
		return nil
	}
	listed, err := f.eng.bucket.ListParts(ctx, u.Key, u.ID)
	if errors.Is(err, s3.ErrNoUpload) {
		f.adopt(c, nil)
		return nil
	}
	if errors.Is(err, s3.ErrDenied) && !c.overflowed() { // there may never be a right to list
		f.eng.log.Warn("may not list the parts of an upload: all are sent again", "key", u.Key, "upload", u.ID, "err", err)
		f.eng.abort(u.Key, u.ID)
		f.adopt(c, nil)
		return nil
	}
	if err != nil {
		return err
	}
	s := f.eng.newUpload(u.Key, nil, *u.Meta, u.Pieces)
	s.id, s.layout = u.ID, plan.Layout{Fixed: u.PartSize, Hint: u.Hint}
	if u.Replaces != "" {
		s.replaces = &s3.Object{Key: u.Key, ETag: u.Replaces}
	}
	if err := f.fill(ctx, c, plan.Borrowed(&c.ext, u.Pieces)); err != nil {
		s.cancel()
		return err
	}
	kept, err := f.keepParts(c, s, listed)
	if err != nil {
		s.cancel()
		return err
	}
	f.eng.log.Info("going on with an upload", "key", u.Key, "parts", kept, "of", s.count(c.ext.Size()))
	f.adopt(c, s)
	return nil
}

// adopt replaces the upload of an earlier process by s, or by none.
func (f *File) adopt(c *content, s *upload) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.orphan, c.stream = nil, s
}

// keepParts notes which of the listed parts hold what they have to. The content is
// frozen, and nobody else knows the upload yet.
func (f *File) keepParts(c *content, s *upload, listed []s3.Part) (kept int, err error) {
	for _, l := range listed {
		span, ok := s.span(int(l.Number), c.ext.Size())
		if !ok || span.Len != l.Size {
			continue
		}
		p := &part{state: partSent, size: l.Size, etag: l.ETag, sum: l.Sum}
		if !span.Copy {
			ok, err = f.sameBytes(c, s, span, l, p)
			if err != nil {
				return kept, err
			}
			if !ok {
				continue
			}
		}
		s.parts[int(l.Number)] = p
		kept++
	}
	return kept, nil
}

// sameBytes compares a part in the bucket with the spool: by its checksum where the
// bucket tells it, else by the MD5 that most stores use as the ETag of a part.
func (f *File) sameBytes(c *content, s *upload, span plan.Piece, l s3.Part, p *part) (bool, error) {
	f.mu.Lock()
	body := c.body(span.Off, span.Len)
	f.mu.Unlock()
	defer body.Close()
	sums, known := sum.Sums{}, false
	if s.layout == f.eng.layoutOf(c) && s.pieces == nil {
		if sums, known = c.sums.get(int(l.Number), span.Off, span.Len); !known {
			sums, known = c.keptSum(int(l.Number), span.Off, span.Len)
		}
	}
	if !known {
		var err error
		if sums, err = sumOf(body); err != nil {
			return false, err
		}
	}
	p.sums = sums
	if l.Sum.Comparable() {
		return l.Sum.Is(sums), nil
	}
	h := md5.New()
	if _, err := body.WriteTo(h); err != nil {
		return false, err
	}
	return strings.Trim(l.ETag, `"`) == hex.EncodeToString(h.Sum(nil)), nil
}

// mayFold tells whether newer contents may be folded into c, which an earlier
// request may have published. What may be an upload in the bucket goes alone: it is
// known again by its ID alone, so that must not stand for other bytes.
func (f *File) mayFold(ctx context.Context, c *content) (bool, error) {
	f.mu.Lock()
	multipart, key := c.stream != nil || c.orphan != nil || c.done != nil, f.key
	f.mu.Unlock()
	if multipart {
		return false, nil
	}
	_, there, err := f.isPublished(ctx, c, key)
	if err != nil || there {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mayBeAt(c.at, c.born)
	c.was = append(c.was, journal.Object{Key: c.at, Publication: c.born})
	c.tried, c.born = false, journal.NewID()
	c.changes++
	return true, nil
}
