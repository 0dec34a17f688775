//go:build linux

package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// gate passes requests on to a server, or does not.
type gate struct{ mode atomic.Int32 }

// What a gate does with requests that change something; reading always passes.
const (
	gateOpen   int32 = iota
	gateDenied       // 403
	gateSilent       // never answered
	gateMute         // carried out, and never answered
)

func (g *gate) set(mode int32) { g.mode.Store(mode) }

// gated is a server behind a gate.
func gated(t *testing.T, s *server) (*server, *gate) {
	t.Helper()
	target, err := url.Parse(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is part of the signature
	}}
	over := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mode := g.mode.Load()
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			mode = gateOpen
		}
		switch mode {
		case gateDenied:
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
		case gateSilent, gateMute:
			if mode == gateMute {
				pass.ServeHTTP(httptest.NewRecorder(), r)
			}
			select {
			case <-r.Context().Done():
			case <-over:
			}
		default:
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	t.Cleanup(func() { close(over) })
	return &server{s.name, client{front.URL, s.access, s.secret}}, g
}
