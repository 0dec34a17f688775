package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"s3mount/internal/names"
	"s3mount/transfer"
)

// Wait returns when everything at or below path is in the bucket, or when what is
// left cannot come there by waiting: it needs somebody, or is open for writing.
func (s *session) Wait(ctx context.Context, path string) waited {
	top := s.top(path)
	if err := s.exists(ctx, path); err != nil {
		why := answeredBy(0, err)
		return waited{Error: why.Error, Remedy: why.Remedy}
	}
	for {
		err := s.engine.Wait(ctx, top)
		w := waited{backlog: s.Backlog(path)}
		switch {
		case err != nil && w.FilesLeft == 0 && !errors.Is(err, transfer.ErrCancelled):
			return w // it was the last thing that happened
		case err != nil:
			w.Error, w.Remedy = oneLine(err.Error()), fileRemedy(err)
			return w
		case len(w.writing()) == w.FilesLeft:
			return w
		case ctx.Err() != nil:
			w.Error = "the mount is going away"
			return w
		}
		select { // something was closed meanwhile, or is moved just now
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// exists refuses a path at which there is nothing: a mistyped name is not safe in
// the bucket.
func (s *session) exists(ctx context.Context, path string) error {
	if path == "" || len(s.engine.Status(s.top(path))) > 0 {
		return nil
	}
	_, err := s.tree.Find(ctx, path)
	if errors.Is(err, names.ErrNotExist) || errors.Is(err, names.ErrNotDir) {
		return &problem{cause: fmt.Sprintf("there is no %q in the mount", path), remedy: "check the spelling", err: err}
	}
	return err
}

// Retry tries now what waits at path or below it.
func (s *session) Retry(ctx context.Context, path string) (files int, err error) {
	if err := s.exists(ctx, path); err != nil {
		return 0, err
	}
	return s.engine.Retry(s.top(path)), nil
}

// Refresh forgets what is known of path and of what is below it, here and in the kernel.
func (s *session) Refresh(path string) (names int) {
	known := s.tree.Refresh(path)
	if server := s.server.Load(); server != nil {
		for _, p := range known {
			server.Invalidate(p)
		}
	}
	return len(known)
}

// damaged has the kernel forget the pages of an object that was not read right.
func (s *session) damaged(key string) {
	if server := s.server.Load(); server != nil {
		server.Damaged(s.tree.Path(key))
	}
}

// Cancel gives up the publication of one file.
func (s *session) Cancel(ctx context.Context, path string) error {
	changed, err := s.tree.Cancel(ctx, path)
	for _, p := range changed {
		if server := s.server.Load(); server != nil {
			server.Invalidate(p)
		}
	}
	if err == nil {
		s.log.Warn("publication cancelled: the bytes that were not in the bucket are gone", "path", path)
		return nil
	}
	const listed = "see what can be cancelled with: s3mount status"
	name := fmt.Sprintf("%q", path)
	switch {
	case errors.Is(err, transfer.ErrBusy):
		return &problem{cause: name + " is open for writing (device or resource busy)", remedy: "close it in the program that writes it, then cancel", err: err}
	case errors.Is(err, transfer.ErrPublished):
		return &problem{cause: name + " is in the bucket already, there is nothing to cancel", remedy: "to remove it there use: rm", err: err}
	case errors.Is(err, names.ErrIsDir):
		return &problem{cause: name + " is a folder", remedy: "name one file; " + listed, err: err}
	case errors.Is(err, names.ErrNotExist), errors.Is(err, names.ErrNotDir):
		return &problem{cause: fmt.Sprintf("there is no %s in the mount", name), remedy: listed, err: err}
	}
	return err
}
