//go:build linux

package tests

import (
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
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, request{r.Method, r.URL.Path, r.URL.RawQuery, r.ContentLength})
		p.mu.Unlock()
		rp.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return &server{s.name, client{front.URL, s.access, s.secret}}, p
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
