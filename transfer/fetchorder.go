package transfer

import (
	"context"
	"net/http/httptrace"
	"sync"

	"s3mount/cache"
)

// fetchOrder has the requests of one reader ask for their connections in the order in which
// they were decided: those that wait for nothing go to what is read first. Goroutines that
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

// await returns when all before have asked, or somebody waits for the flight. The context
// that it returns, that of the flight, tells the next one.
func (t fetchTurn) await(flight *cache.Flight) context.Context {
	ctx := flight.Context()
	if t.before != nil {
		select {
		case <-t.before:
		case <-flight.Urgent():
		case <-ctx.Done():
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { t.leave() }})
}
