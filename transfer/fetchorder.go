package transfer

import (
	"context"
	"net/http/httptrace"
	"sync"

	"s3mount/cache"
)

// fetchOrder has the requests of one reader ask for their slots and connections in the order in
// which they were decided: those that wait for nothing go to what is read first. Goroutines that
// begin together run in any order.
type fetchOrder struct {
	mu   sync.Mutex
	last <-chan struct{} // closed when the latest request has asked; nil: there was none
}

// fetchTurn is the place of one request.
type fetchTurn struct {
	before <-chan struct{}
	leave  func() // lets the next one ask; may be called again
}

func (o *fetchOrder) next() fetchTurn {
	asked := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	t := fetchTurn{before: o.last, leave: sync.OnceFunc(func() { close(asked) })}
	o.last = asked
	return t
}

// await returns when all before have asked, or somebody waits for the flight.
func (t fetchTurn) await(flight *cache.Flight) {
	if t.before != nil {
		select {
		case <-t.before:
		case <-flight.Urgent():
		case <-flight.Context().Done():
		}
	}
}

// context is that of a flight, with which its request tells the next one that it has asked.
func (t fetchTurn) context(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { t.leave() }})
}
