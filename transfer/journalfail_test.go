package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// A transaction of the journal fails once, as on a disk that is full for a moment. No
// record may stay of what was folded or published: the next process would publish an
// old version over the new one.
func TestJournalFailsOnce(t *testing.T) {
	for name, again := range map[string]func(g *writeRig, f *File){
		"written anew": func(g *writeRig, f *File) {
			check(g.t, f.Clear(context.Background()))
			g.write(f, []byte("second"), 0)
		},
		"patched":     func(g *writeRig, f *File) { g.write(f, []byte("second"), 0) },
		"closed once": nil,
	} {
		for n, reached := 1, true; reached; n++ {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					f, want := g.put("k", []byte("first.")), []byte("first.")
					if again != nil {
						g.open(f)
						again(g, f)
						g.closeFile(f)
						want = []byte("second")
					}
					var count atomic.Int64
					g.transactions(func(apply func() error) error {
						if count.Add(1) == int64(n) {
							return errors.New("no space left")
						}
						return apply()
					})
					time.Sleep(time.Hour)
					reached = count.Load() >= int64(n)
					g.has("k", want)
					g.idle()
					g.crash()
					g.wait()
					g.has("k", want)
					g.keys("k")
					g.idle()
				})
			})
		}
	}
}
