package journal

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Nobody's call lasts for as long as others have something to write.
func TestApplyIsNotHeldUpByOthers(t *testing.T) {
	const callers, calls = 16, 100
	j := open(t, t.TempDir())
	defer j.Close()
	var done, longest atomic.Int64
	var wait sync.WaitGroup
	for c := range callers {
		wait.Go(func() {
			for i := range calls {
				time.Sleep(rand.N(time.Millisecond)) // so that some always come while others are written
				before := done.Load()
				if err := j.Apply([]Record{{ID: fmt.Sprintf("%d-%d", c, i)}}); err != nil {
					t.Error(err)
				}
				if n := done.Add(1) - before; n > longest.Load() {
					longest.Store(n)
				}
			}
		})
	}
	wait.Wait()
	if n := longest.Load(); n > callers*calls/16 { // it takes part in the second transaction at the latest
		t.Errorf("%d of %d calls of others ended during one", n, callers*calls)
	}
}
