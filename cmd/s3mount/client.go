package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	finish, err := c.ask(ctx, method, path, in, out)
	if err != nil {
		return err
	}
	return finish()
}

// ask returns when the mount has begun to answer, and finish when it has
// answered. in, when not nil, goes along.
func (c *client) ask(ctx context.Context, method, path string, in, out any) (finish func() error, err error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://mount"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, gone(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, &problem{cause: fmt.Sprintf("the mount at %s does not understand this command (%s)", c.rec.Mountpoint, resp.Status), remedy: "its s3mount is " + c.rec.Version + ", mount again with this one"}
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

// status is what is not in the bucket below a path; with failing, only files that
// have an error are listed.
func (c *client) status(ctx context.Context, path string, failing bool) (mountStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	query := "?path=" + url.QueryEscape(path)
	if failing {
		query += "&only=failing"
	}
	var st mountStatus
	err := c.call(ctx, http.MethodGet, "/status"+query, nil, &st)
	return st, err
}

// wait returns when what is below the path is in the bucket, or cannot be.
func (c *client) wait(ctx context.Context, path string) (waited, error) {
	var w waited
	err := c.call(ctx, http.MethodPost, "/wait?path="+url.QueryEscape(path), nil, &w)
	return w, err
}

// order asks for something to be done at a path.
func (c *client) order(ctx context.Context, what, path string) (files int, err error) {
	var a answered
	if err := c.call(ctx, http.MethodPost, "/"+what+"?path="+url.QueryEscape(path), nil, &a); err != nil {
		return 0, goneProblem(c.rec, err)
	}
	return a.Files, a.problem()
}

// problem is the error that was answered, nil when there was none.
func (a *answered) problem() error {
	switch {
	case a.Error == "":
		return nil
	case a.Remedy == "":
		return errors.New(a.Error)
	}
	return &problem{cause: a.Error, remedy: a.Remedy}
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
	finish, err := c.ask(ctx, http.MethodGet, "/end", nil, &o)
	if err != nil {
		return nil, err
	}
	return func() (outcome, error) {
		err := finish()
		return o, err
	}, nil
}
