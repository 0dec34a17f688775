package s3test

import (
	"io"
	"net/http"
	"time"
)

// Fault is what goes wrong with one request. The fields combine.
type Fault struct {
	Delay time.Duration // before anything else

	// Status and Code answer with an error instead; Message and Header go with it.
	Status        int
	Code, Message string
	Header        http.Header

	Instead []byte // all of the answer's body, when not nil; nothing was done

	NoAnswer   bool // the request arrives, and nothing ever comes back
	Drop       bool // the connection closes, and nothing was done
	LoseAnswer bool // it is carried out, then the connection closes

	Late *Later // the connection closes, and it is carried out later

	Cut   bool  // the answer's body ends after After bytes, with the connection
	Stall bool  // the answer's body stops after After bytes, for ever
	After int64 // bytes

	Rate    int64  // bytes per second of the answer's body; 0: no limit
	Corrupt bool   // the first byte of the body sent is another
	ETag    string // the answer names this one

	NoLength bool // the answer to a HEAD does not tell the size
}

// hold waits until the client or the server gives up.
func (s *Server) hold(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
	panic(http.ErrAbortHandler)
}

// before applies what happens ahead of the operation; true: it is answered.
func (s *Server) before(w *answer, r *http.Request, f *Fault) bool {
	if sleep(r.Context(), f.Delay) != nil {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f.NoAnswer:
		io.Copy(io.Discard, r.Body)
		s.hold(r)
	case f.Instead != nil:
		w.Write(f.Instead)
		return true
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		for k, v := range f.Header {
			w.Header()[k] = v
		}
		w.fail(r, &fault{f.Status, f.Code, f.Message})
		return true
	}
	return false
}

// answer is a ResponseWriter that counts, and applies the fault to the body.
type answer struct {
	http.ResponseWriter
	s      *Server
	r      *http.Request
	fault  *Fault
	status int
	sent   int64
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	if f := a.fault; f != nil {
		if f.LoseAnswer {
			panic(http.ErrAbortHandler)
		}
		if f.ETag != "" && a.Header().Get("ETag") != "" {
			a.Header().Set("ETag", f.ETag)
		}
		if f.NoLength && a.r.Method == http.MethodHead {
			a.Header().Del("Content-Length")
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	f := a.fault
	if f == nil {
		n, err := a.ResponseWriter.Write(p)
		a.sent += int64(n)
		return n, err
	}
	if f.Corrupt && a.sent == 0 && len(p) > 0 {
		p = append([]byte{p[0] ^ 0xff}, p[1:]...)
	}
	if f.Rate > 0 {
		pause(time.Duration(int64(len(p))*int64(time.Second)/f.Rate), a.r.Context().Done())
	}
	if (f.Cut || f.Stall) && a.sent+int64(len(p)) > f.After {
		a.ResponseWriter.Write(p[:f.After-a.sent])
		a.sent = f.After
		http.NewResponseController(a.ResponseWriter).Flush()
		if f.Stall {
			a.s.hold(a.r)
		}
		panic(http.ErrAbortHandler)
	}
	n, err := a.ResponseWriter.Write(p)
	a.sent += int64(n)
	return n, err
}
