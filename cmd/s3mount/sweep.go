package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"s3mount/internal/s3"
	"s3mount/transfer/journal"
)

// sweep says what is to be done about orphans.
type sweep struct {
	Abort     bool          `json:"abort"`
	OlderThan time.Duration `json:"older_than"` // nanoseconds
}

// uploadStatus is one entry of `uploads --json`. docs/STATUS.md describes the fields.
type uploadStatus struct {
	Key          string    `json:"key"`
	ID           string    `json:"id"`
	Initiated    time.Time `json:"initiated"`
	LastActivity time.Time `json:"last_activity"`
	Parts        int       `json:"parts"`
	Bytes        int64     `json:"bytes"`
	Owner        string    `json:"owner,omitempty"`
	Orphan       bool      `json:"orphan"`
	Aborted      bool      `json:"aborted"`
	Error        string    `json:"error,omitempty"`

	gone bool // it was completed or aborted since it was listed
}

type uploadsAnswer struct {
	Uploads []uploadStatus `json:"uploads"`
	answered
}

// owned is what a mount or a journal knows of uploads.
type owned struct {
	Journal string           `json:"journal"` // its directory
	Uploads []journal.Upload `json:"uploads"`
	Keys    []string         `json:"keys"` // at which it is creating one whose ID it does not know yet
	Lost    []string         `json:"lost"` // at which one may be left whose ID it never knew
	Bucket  string           `json:"bucket"`
	Prefix  string           `json:"prefix"`
	name    string           // for people
	unread  bool             // in use by a process that cannot be asked
	running bool             // a mount
}

// sweeper lists the unfinished uploads of a bucket, and aborts orphans.
type sweeper struct {
	bucket *s3.Bucket
	name   string   // of the bucket
	prefix string   // empty, or with a slash at its end
	caches []string // cache directories
}

// run lists first and asks for owners afterwards: who began an upload meanwhile is
// not overlooked.
func (s sweeper) run(ctx context.Context, o sweep) ([]uploadStatus, error) {
	owners, err := s.owners(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.list(ctx, owners)
	if err != nil {
		return nil, err
	}
	if owners, err = s.owners(ctx); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range found {
		u := &found[i]
		g.Go(func() error { return s.judge(gctx, u, owners, o) })
	}
	err = g.Wait()
	return slices.DeleteFunc(found, func(u uploadStatus) bool { return u.gone }), err
}

// list gives the uploads below the prefix. Servers that list them by whole keys only
// are asked for each key that an owner knows.
func (s sweeper) list(ctx context.Context, owners []owned) ([]uploadStatus, error) {
	prefixes := []string{s.prefix}
	for _, o := range owners {
		if o.Bucket != s.name {
			continue
		}
		for _, u := range o.Uploads {
			prefixes = append(prefixes, u.Key)
		}
		prefixes = append(append(prefixes, o.Keys...), o.Lost...)
	}
	slices.Sort(prefixes[1:])
	seen := map[string]bool{}
	var found []uploadStatus
	for i, prefix := range slices.Compact(prefixes) {
		if i > 0 && !strings.HasPrefix(prefix, s.prefix) {
			continue
		}
		list, err := s.bucket.ListUploads(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for _, u := range list {
			if !seen[u.ID] {
				seen[u.ID] = true
				found = append(found, uploadStatus{Key: u.Key, ID: u.ID, Initiated: u.Initiated.UTC(), LastActivity: u.Initiated.UTC()})
			}
		}
	}
	slices.SortFunc(found, func(a, b uploadStatus) int {
		return cmp.Or(a.Initiated.Compare(b.Initiated), strings.Compare(a.Key, b.Key))
	})
	return found, nil
}

// judge finds out how large an upload is and whose, and aborts it when it is to go.
func (s sweeper) judge(ctx context.Context, u *uploadStatus, owners []owned, o sweep) error {
	size, err := s.bucket.UploadSize(ctx, u.Key, u.ID)
	switch {
	case errors.Is(err, s3.ErrNoUpload):
		u.gone = true
		return nil
	case err != nil:
		return err
	}
	u.Parts, u.Bytes = size.Parts, size.Bytes
	if size.Last.After(u.LastActivity) {
		u.LastActivity = size.Last.UTC()
	}
	u.Owner = s.owner(u, owners)
	u.Orphan = u.Owner == "" && time.Since(u.LastActivity) >= o.OlderThan
	if !o.Abort || !u.Orphan {
		return nil
	}
	if err := s.bucket.Abort(ctx, u.Key, u.ID); errors.Is(err, s3.ErrNoUpload) {
		u.gone = true
		return nil
	} else if err != nil {
		u.Error = err.Error()
		return nil
	}
	u.Aborted = true
	return nil
}

// owner is the mount or journal that an upload belongs to, as far as this machine
// knows; empty for none.
func (s sweeper) owner(u *uploadStatus, owners []owned) string {
	for _, o := range owners {
		here := o.Bucket == s.name
		switch {
		case slices.ContainsFunc(o.Uploads, func(x journal.Upload) bool { return x.ID == u.ID }):
			return o.name
		case o.running && here && slices.Contains(o.Keys, u.Key):
			return o.name
		case o.unread && here && strings.HasPrefix(u.Key, o.Prefix):
			return o.name
		}
	}
	return ""
}

// owners is what every mount of this user and every journal that can be seen knows.
func (s sweeper) owners(ctx context.Context) ([]owned, error) {
	mounts, err := runningMounts("")
	if err != nil {
		return nil, err
	}
	var all []owned
	caches := slices.Clone(s.caches)
	asked := map[string]bool{} // directories of journals
	for _, rec := range mounts {
		if rec.Bucket != s.name {
			continue
		}
		o, err := newClient(rec).owned(ctx)
		if errors.Is(err, errGone) {
			continue // its journal tells
		}
		if err != nil { // it cannot tell: everything may be its own
			o = owned{Bucket: rec.Bucket, Prefix: rec.Prefix, unread: true}
		}
		o.name, o.running = "mount "+rec.Mountpoint, true
		all, caches = append(all, o), append(caches, rec.CacheDir)
		asked[o.Journal] = true
	}
	slices.Sort(caches)
	for _, cache := range slices.Compact(caches) {
		dirs, err := filepath.Glob(filepath.Join(cache, "*", "identity.json"))
		if err != nil {
			return nil, err
		}
		for _, path := range dirs {
			if dir := filepath.Dir(path); !asked[dir] {
				o, err := ownedBy(dir)
				if o.Bucket != s.name && err == nil {
					continue
				}
				if err != nil {
					return nil, &problem{cause: "the journal " + dir + " cannot be read", remedy: "check its owner and permissions: uploads could be its own", err: err}
				}
				all = append(all, o)
			}
		}
	}
	return all, nil
}

// ownedBy is what a journal knows that no mount of this user has open.
func ownedBy(dir string) (owned, error) {
	id, records, err := journal.Read(dir)
	o := owned{Journal: dir, Bucket: id.Bucket, Prefix: id.Prefix, name: "journal " + dir}
	if errors.Is(err, journal.ErrLocked) {
		o.unread = true
		o.name += " (in use)"
		return o, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return o, nil
	}
	for _, r := range records {
		if r.Upload != nil {
			o.Uploads = append(o.Uploads, *r.Upload)
		}
		if r.Creating != "" {
			o.Lost = append(o.Lost, r.Creating)
		}
	}
	return o, err
}

// owned asks a mount.
func (c *client) owned(ctx context.Context) (owned, error) {
	var o owned
	err := c.call(ctx, "GET", "/owned", nil, &o)
	return o, err
}

// Owned is what this mount knows of uploads.
func (s *session) Owned() owned {
	o := owned{Journal: s.journal.Dir(), Bucket: s.cfg.Bucket, Prefix: s.cfg.Prefix}
	o.Uploads, o.Keys = s.engine.Uploads()
	o.Lost = s.engine.LostUploads()
	return o
}

// Uploads lists the unfinished uploads of the mount's bucket and prefix.
func (s *session) Uploads(ctx context.Context, o sweep) ([]uploadStatus, error) {
	lost := s.engine.LostUploads()
	found, err := sweeper{bucket: s.bucket, name: s.cfg.Bucket, prefix: s.cfg.Prefix, caches: []string{s.cfg.CacheDir}}.run(ctx, o)
	if err != nil {
		return found, err
	}
	for _, key := range lost {
		left := slices.ContainsFunc(found, func(u uploadStatus) bool { return u.Key == key && u.Owner == "" && !u.Aborted })
		if !left {
			err = errors.Join(err, s.engine.ForgetLost(key))
		}
	}
	return found, err
}
