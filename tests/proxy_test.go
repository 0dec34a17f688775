//go:build linux

package tests

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// request is one that went through a proxy.
type request struct {
	method, path, query string
	length              int64
}

// movesData reports whether the request moved the bytes of an object.
func (r request) movesData() bool {
	object := strings.Contains(strings.Trim(r.path, "/"), "/")
	return object && (r.method == "PUT" || r.method == "POST" || r.method == "GET")
}

// proxy passes requests on and remembers them.
type proxy struct {
	mu       sync.Mutex
	requests []request
	spoil    func(request) bool // whose answers get a wrong byte
	hold     func(request)      // returns when the request may pass; nil: at once
}

// through returns the server as seen through a new proxy.
func through(t *testing.T, s *server) (*server, *proxy) {
	t.Helper()
	target, err := url.Parse(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	rp := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is part of the signature
	}, ModifyResponse: p.pass}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := request{r.Method, r.URL.Path, r.URL.RawQuery, r.ContentLength}
		p.mu.Lock()
		p.requests = append(p.requests, in)
		hold := p.hold
		p.mu.Unlock()
		if hold != nil {
			hold(in)
		}
		rp.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return &server{s.name, client{front.URL, s.access, s.secret}}, p
}

// pass changes a byte of the answers that are to be spoiled.
func (p *proxy) pass(resp *http.Response) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := resp.Request
	if p.spoil == nil || !p.spoil(request{in.Method, in.URL.Path, in.URL.RawQuery, resp.ContentLength}) {
		return nil
	}
	body := resp.Body
	first := make([]byte, 1)
	if _, err := io.ReadFull(body, first); err != nil {
		return err
	}
	first[0] ^= 1
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), body), body}
	return nil
}

// spoilOnce changes a byte of the next answer with bytes of an object.
func (p *proxy) spoilOnce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoil = func(r request) bool {
		hit := r.method == "GET" && r.movesData() && r.length > 0
		if hit {
			p.spoil = nil
		}
		return hit
	}
}

// reset forgets what came so far.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// matching returns the requests that f chooses.
func (p *proxy) matching(f func(request) bool) []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []request
	for _, r := range p.requests {
		if f(r) {
			out = append(out, r)
		}
	}
	return out
}
