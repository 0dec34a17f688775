package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// client talks to a running mount.
type client struct {
	rec  record
	http *http.Client
}

func newClient(rec record) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", rec.Socket)
	}
	return &client{rec, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// errGone means that the mount's process ended without a word.
var errGone = errors.New("the process of the mount is gone")

func (c *client) call(ctx context.Context, method, path string, out any) error {
	finish, err := c.ask(ctx, method, path, out)
	if err != nil {
		return err
	}
	return finish()
}

// ask returns when the mount has begun to answer, and finish when it has
// answered.
func (c *client) ask(ctx context.Context, method, path string, out any) (finish func() error, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://mount"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, gone(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("the mount at %s answers %s", c.rec.Mountpoint, resp.Status)
	}
	return func() error {
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			return gone(ctx, err)
		}
		return nil
	}, nil
}

// gone tells a time limit of our own from a process that ended.
func gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w (%v)", errGone, err)
}

func (c *client) status(ctx context.Context) (mountStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var st mountStatus
	err := c.call(ctx, http.MethodGet, "/status", &st)
	return st, err
}

// wait returns when what is below the path is in the bucket.
func (c *client) wait(ctx context.Context, path string) error {
	var o outcome
	if err := c.call(ctx, http.MethodPost, "/wait?path="+url.QueryEscape(path), &o); err != nil {
		return err
	}
	if o.Error != "" {
		return &problem{cause: o.Error, remedy: fmt.Sprintf("%s, see: s3mount status %s", notYet(o.FilesLeft), c.rec.Mountpoint)}
	}
	return nil
}

func notYet(files int) string {
	if files == 1 {
		return "1 file is not in the bucket yet"
	}
	return plural(files, "file") + " are not in the bucket yet"
}

// watchEnd returns when the mount knows that somebody waits for its end, and
// wait when it has ended.
func (c *client) watchEnd(ctx context.Context) (wait func() (outcome, error), err error) {
	var o outcome
	finish, err := c.ask(ctx, http.MethodGet, "/end", &o)
	if err != nil {
		return nil, err
	}
	return func() (outcome, error) {
		err := finish()
		return o, err
	}, nil
}
