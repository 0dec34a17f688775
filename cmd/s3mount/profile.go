package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
)

// profiles serves the Go runtime's profiles of this process at
// http://ADDR/debug/pprof/ until the returned function is called. They tell names
// of functions, and nothing of files or credentials; still only this machine may ask.
func profiles(addr string) (stop func() error, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &problem{cause: fmt.Sprintf("--debug-listen %s: %v", addr, err), remedy: "choose another port", err: err}
	}
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		return nil, errors.Join(&problem{cause: fmt.Sprintf("--debug-listen %s can be reached from other machines", addr), remedy: "use 127.0.0.1:PORT"}, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux}
	go srv.Serve(l) // ends with Close
	return srv.Close, nil
}
