package transfer

import (
	"context"
	"net/http/httptrace"
	"sync"

	"s3mount/cache"
)

// readerSlots is how many requests of one reader run at once that nobody waits for yet. More would
// bring no bytes sooner where these fill the link: they would stand in line on it, in front of what
// everybody else asks for.
const readerSlots = 16

// fetchOrder has the requests of one reader ask for their slots and connections in the order in
// which they were decided: those that wait for nothing go to what is read first. Goroutines that
// begin together run in any order.
type fetchOrder struct {
	slots chan struct{}

	mu   sync.Mutex
	last <-chan struct{} // closed when the latest request has asked; nil: there was none
}

func newFetchOrder() *fetchOrder { return &fetchOrder{slots: make(chan struct{}, readerSlots)} }

// fetchTurn is the place of one request.
type fetchTurn struct {
	before <-chan struct{}
	slots  chan struct{}
	leave  func() // lets the next one ask; may be called again
}

func (o *fetchOrder) next() fetchTurn {
	asked := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	t := fetchTurn{before: o.last, slots: o.slots, leave: sync.OnceFunc(func() { close(asked) })}
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
