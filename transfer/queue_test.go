package transfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

// Operations on a key run one at a time, in the order in which they were added, and
// all of them run.
func TestQueueOrder(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			q := newQueue()
			var mu sync.Mutex
			busy, last := map[string]int{}, map[string]int{}
			ran := 0
			for i := range 100 {
				keys := make([]string, 1+r.IntN(3))
				for k := range keys {
					keys[k] = fmt.Sprint(r.IntN(6))
				}
				slices.Sort(keys)
				keys = slices.Compact(keys)
				tries, work := r.IntN(3), time.Duration(r.IntN(50))*time.Millisecond
				var tk *ticket
				ready := make(chan struct{})
				tk = q.add(time.Duration(r.IntN(2000))*time.Millisecond, func(*ticket) {
					<-ready
					mu.Lock()
					for _, k := range keys {
						if busy[k]++; busy[k] > 1 {
							t.Errorf("two at once on key %s", k)
						}
						if last[k] > i+1 {
							t.Errorf("operation %d after %d on key %s", i, last[k]-1, k)
						}
						last[k] = i + 1
					}
					mu.Unlock()
					time.Sleep(work)
					mu.Lock()
					for _, k := range keys {
						busy[k]--
					}
					if tries--; tries < 0 {
						ran++
					}
					again := tries >= 0
					mu.Unlock()
					if again {
						q.retry(tk, work)
					} else {
						q.done(tk)
					}
				}, keys...)
				close(ready)
				if r.IntN(4) == 0 {
					q.hasten(tk)
				}
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if ran != 100 || len(q.byKey) != 0 {
				t.Errorf("%d of 100 ran, %d keys left", ran, len(q.byKey))
			}
			q.shut()
		})
	}
}

// Renames add keys to tickets that wait or run. Whatever they add, all run.
func TestQueueTouchNeverDeadlocks(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			q := newQueue()
			var mu sync.Mutex
			done := map[int]bool{}
			var list []*ticket
			for i := range 12 {
				tries, work := r.IntN(4), time.Duration(1+r.IntN(300))*time.Millisecond
				var tk *ticket
				ready := make(chan struct{})
				tk = q.add(time.Duration(r.IntN(500))*time.Millisecond, func(*ticket) {
					<-ready
					time.Sleep(work)
					mu.Lock()
					defer mu.Unlock()
					if tries--; tries >= 0 {
						q.retry(tk, work)
						return
					}
					done[i] = true
					q.done(tk)
				}, fmt.Sprint(i%5))
				close(ready)
				list = append(list, tk)
			}
			for range 60 {
				i := r.IntN(len(list))
				mu.Lock()
				if !done[i] {
					q.touch(list[i], fmt.Sprint(r.IntN(5)))
					if r.IntN(3) == 0 {
						q.hasten(list[i])
					}
				}
				mu.Unlock()
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(done) != len(list) || len(q.byKey) != 0 {
				t.Fatalf("seed %d: %d of %d ran", seed, len(done), len(list))
			}
			q.shut()
		})
	}
}

func TestQueueExclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var order []string
		add := func(delay time.Duration, name, key string) {
			var tk *ticket
			ready := make(chan struct{})
			tk = q.add(delay, func(*ticket) {
				<-ready
				time.Sleep(time.Second)
				order = append(order, name)
				q.done(tk)
			}, key)
			close(ready)
		}
		add(time.Hour, "first", "a")
		begin := time.Now()
		turn, err := q.exclusive(context.Background(), nil, "a", "b")
		if err != nil || time.Since(begin) != time.Second {
			t.Fatalf("%v after %v: an exclusive operation hastens those ahead of it", err, time.Since(begin))
		}
		add(time.Millisecond, "later", "b")
		time.Sleep(time.Minute)
		order = append(order, "exclusive")
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		second, err := q.exclusive(ctx, nil, "a")
		if err == nil {
			t.Error("two exclusive operations on one key")
		}
		q.done(second)
		q.done(turn)
		time.Sleep(time.Minute)
		synctest.Wait()
		if fmt.Sprint(order) != "[first exclusive later]" || len(q.byKey) != 0 {
			t.Errorf("order %v, left %v", order, q.byKey)
		}
		q.shut()
	})
}

// Two files swap their names while one of them is being published under its old one.
func TestQueueSwapOfNames(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		b := g.put("b", []byte("was b"))
		a := g.put("a", []byte("was a"))
		g.fault("PutObject", 2, s3test.Fault{Delay: 5 * time.Second})
		b.mu.Lock()
		g.engine.queue.mu.Lock()
		b.ticket.due = time.Now().Add(time.Minute) // it waits, as after a failure
		g.engine.queue.mu.Unlock()
		b.mu.Unlock()
		after(2 * writeSettle)
		g.rename(a, "c")
		g.rename(b, "a")
		g.rename(a, "b")
		g.wait()
		g.has("a", []byte("was b"))
		g.has("b", []byte("was a"))
		g.keys("a", "b")
		g.idle()
	})
}

// A publication that was stopped may still add a key to its ticket: nobody may have to
// wait for that.
func TestQueueTouchOfWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		old := q.add(0, func(*ticket) {}, "a")
		synctest.Wait()
		q.done(old)
		q.touch(old, "b")
		ran := make(chan struct{})
		next := q.add(time.Millisecond, func(*ticket) { close(ran) }, "b")
		select {
		case <-ran:
		case <-time.After(time.Second):
			t.Error("the next operation on the key never runs")
		}
		q.done(next)
		q.shut()
	})
}

// However many operations are due, not all of them run at once, and what somebody waits for
// runs beside them.
func TestQueueRunsSomeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 4 * maxRunning
		q := newQueue()
		var mu sync.Mutex
		busy, most, ran := 0, 0, 0
		held := make(chan struct{})
		for i := range all {
			var tk *ticket
			ready, tries := make(chan struct{}), 0
			tk = q.add(time.Millisecond, func(*ticket) {
				<-ready
				mu.Lock()
				busy++
				most = max(most, busy)
				tries++
				last := tries == 2
				mu.Unlock()
				if i%10 == 0 {
					q.rest(tk) // it does nothing for long
					time.Sleep(time.Minute)
				} else {
					<-held
				}
				mu.Lock()
				busy--
				if last {
					ran++
				}
				mu.Unlock()
				if last {
					q.done(tk)
				} else {
					q.retry(tk, time.Second)
				}
			}, fmt.Sprint(i))
			close(ready)
		}
		time.Sleep(time.Hour)
		turn, err := q.exclusive(context.Background(), nil, "claimed")
		if err != nil {
			t.Fatal(err)
		}
		q.done(turn)
		close(held)
		time.Sleep(time.Hour)
		q.shut()
		if limit := maxRunning + all/10; ran != all || most > limit || q.slots != 0 || len(q.ready) != 0 {
			t.Errorf("%d of %d ran, %d at once, want %d at most; %d slots are taken, %d wait", ran, all, most, limit, q.slots, len(q.ready))
		}
	})
}
