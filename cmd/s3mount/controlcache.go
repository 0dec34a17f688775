package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// caching is what the control socket needs of a session for the cache on disk.
type caching interface {
	CacheStats() cacheStats
	CacheClear() error
	CacheEvict(ctx context.Context, path string) (bytes int64, err error)
	Warm(ctx context.Context, path string, report func(warmState)) error
}

// evicted is the answer to an eviction.
type evicted struct {
	Bytes int64 `json:"bytes"`
	answered
}

// warmEvery is how often a warming reports.
const warmEvery = 200 * time.Millisecond

// routeCache adds
//
//	GET  /cache               what the cache on disk holds
//	POST /cache/clear         empties it
//	POST /cache/evict?path=P  takes what is at P or below it out of it
//	POST /warm?path=P         fetches that; answers with one warmState after the other,
//	                          the last of which has ended
func (c *control) routeCache(mux *http.ServeMux) {
	mux.HandleFunc("GET /cache", func(w http.ResponseWriter, r *http.Request) { answer(w, c.session.CacheStats()) })
	mux.HandleFunc("POST /cache/clear", func(w http.ResponseWriter, r *http.Request) {
		answer(w, answeredBy(0, c.session.CacheClear()))
	})
	mux.HandleFunc("POST /cache/evict", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := c.until(r)
		defer cancel()
		n, err := c.session.CacheEvict(ctx, r.URL.Query().Get("path"))
		answer(w, evicted{n, answeredBy(0, err)})
	})
	mux.HandleFunc("POST /warm", c.serveWarm)
}

func (c *control) serveWarm(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := c.until(r)
	defer cancel()
	w.Header().Set("Content-Type", "application/json")
	lines, flush := json.NewEncoder(w), http.NewResponseController(w)
	var last warmState
	shown := time.Now()
	err := c.session.Warm(ctx, r.URL.Query().Get("path"), func(st warmState) {
		last = st
		if time.Since(shown) < warmEvery {
			return
		}
		shown = time.Now()
		if lines.Encode(st) != nil || flush.Flush() != nil {
			cancel() // nobody listens
		}
	})
	last.Ended, last.answered = true, answeredBy(last.Files, err)
	_ = lines.Encode(last)
}
