package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// journalOps is what changes names and attributes: do returns what the application hears,
// and the bucket holds one or the other in the end.
var journalOps = map[string]struct {
	prepare       func(g *writeRig) (do func() error)
	failed, ended map[string]string
}{
	"rename of what is new": {func(g *writeRig) func() error {
		f := g.put("a", []byte("data"))
		return func() error { return f.Rename("b", nil, nil) }
	}, map[string]string{"a": "data"}, map[string]string{"b": "data"}},
	"rename of an edit": {func(g *writeRig) func() error {
		f := g.existing("a", []byte("old bytes"))
		g.open(f)
		g.write(f, []byte("new"), 0)
		g.closeFile(f)
		return func() error { return f.Rename("b", nil, nil) }
	}, map[string]string{"a": "new bytes"}, map[string]string{"b": "new bytes"}},
	"rename of two versions": {func(g *writeRig) func() error {
		f := g.put("a", []byte("first."))
		g.open(f)
		g.write(f, []byte("FIRST"), 0)
		g.closeFile(f)
		return func() error { return f.Rename("b", nil, nil) }
	}, map[string]string{"a": "FIRST."}, map[string]string{"b": "FIRST."}},
	"rename over what is new": {func(g *writeRig) func() error {
		victim, f := g.put("b", []byte("victim")), g.put("a", []byte("data"))
		return func() error { return over(f, victim, "b") }
	}, map[string]string{"a": "data", "b": "victim"}, map[string]string{"b": "data"}},
	"rename over an object": {func(g *writeRig) func() error {
		victim, f := g.existing("b", []byte("victim")), g.put("a", []byte("data"))
		return func() error { return over(f, victim, "b") }
	}, map[string]string{"a": "data", "b": "victim"}, map[string]string{"b": "data"}},
	"rename of an object": {func(g *writeRig) func() error {
		f := g.existing("a", []byte("data"))
		return func() error {
			_, err := g.engine.MoveObject(context.Background(), f, "b", nil, nil)
			return err
		}
	}, map[string]string{"a": "data"}, map[string]string{"b": "data"}},
	"unlink of what is new": {func(g *writeRig) func() error {
		f := g.put("a", []byte("data"))
		return func() error { _, err := g.engine.Remove(context.Background(), f); return err }
	}, map[string]string{"a": "data"}, map[string]string{}},
	"unlink of an edit": {func(g *writeRig) func() error {
		f := g.existing("a", []byte("old bytes"))
		g.open(f)
		g.write(f, []byte("new"), 0)
		g.closeFile(f)
		return func() error { _, err := g.engine.Remove(context.Background(), f); return err }
	}, map[string]string{"a": "new bytes"}, map[string]string{}},
}

// over is what names do for a rename over a file.
func over(f, victim *File, key string) error {
	o, moved := victim.Detach()
	if err := f.Rename(key, o, moved, victim); err != nil {
		victim.Attach()
		return err
	}
	victim.Drop()
	return nil
}

// A transaction of the journal fails, as on a disk that is full: the call says so, and all is
// as it was; or it says nothing, and is done.
func TestJournalFailsInACall(t *testing.T) {
	for name, op := range journalOps {
		for _, crash := range []bool{false, true} {
			for _, from := range []bool{false, true} { // only that one, or all from that one on
				for n, reached := 1, true; reached; n++ {
					t.Run(fmt.Sprint(name, n, crash, from), func(t *testing.T) {
						writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
							do := op.prepare(g)
							count := 0
							g.transactions(func(apply func() error) error {
								if count++; count == n || from && count > n {
									return errors.New("no space left")
								}
								return apply()
							})
							err := do()
							reached = count >= n
							g.transactions(func(apply func() error) error { return apply() })
							want := op.ended
							if err != nil {
								want = op.failed
							}
							if crash {
								g.crash()
							}
							g.wait()
							time.Sleep(time.Hour)
							for key, data := range want {
								if _, ok := g.server.Object(key); !ok {
									t.Fatalf("%q is not in the bucket, which holds %q; the call: %v", key, g.server.Keys(), err)
								}
								g.has(key, []byte(data))
							}
							g.keys(slices.Sorted(maps.Keys(want))...)
							g.idle()
						})
					})
				}
			}
		}
	}
}

// An unlink that fails leaves the file its place: what was made under its former name waits
// for it, since its bytes lie there.
func TestFailedUnlinkKeepsItsPlace(t *testing.T) {
	for _, crash := range []bool{false, true} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			f := g.existing("a", []byte("old bytes"))
			old := *f.Object()
			g.offline()
			check(t, f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }))
			g.rename(f, "b")
			next, err := g.engine.Create("a", &old, writeMeta())
			check(t, err)
			g.open(next)
			g.write(next, []byte("next"), 0)
			g.closeFile(next)
			ctx, stop := context.WithTimeout(context.Background(), time.Minute)
			defer stop()
			if _, err := g.engine.Remove(ctx, f); err == nil {
				t.Fatal("the unlink succeeded")
			}
			if crash {
				g.crash()
			}
			g.server.Fault(nil)
			g.wait()
			g.has("b", []byte("old bytes"))
			g.has("a", []byte("next"))
			g.keys("a", "b")
			g.idle()
		})
	}
}
