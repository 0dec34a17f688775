package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"s3mount/internal/s3/s3test"
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
	"rename of an object that is written meanwhile": {func(g *writeRig) func() error {
		f := g.existing("a", []byte("old bytes"))
		return func() error {
			var once sync.Once
			g.server.Fault(func(r *http.Request) *s3test.Fault {
				if s3test.Op(r) == "CopyObject" {
					once.Do(func() {
						g.open(f)
						g.write(f, []byte("new"), 0)
						g.calm(func() { g.closeFile(f) })
					})
				}
				return nil
			})
			_, err := g.engine.MoveObject(context.Background(), f, "b", nil, nil)
			return err
		}
	}, map[string]string{"a": "old bytes"}, map[string]string{"b": "new bytes"}},
	"rename of a directory": {func(g *writeRig) func() error {
		g.existing("d/object", []byte("data"))
		edit := g.existing("d/edit", []byte("old bytes"))
		g.open(edit)
		g.write(edit, []byte("new"), 0)
		g.closeFile(edit)
		files := []*File{edit, g.put("d/new", []byte("new file")), g.existing("d/used", []byte("in use"))}
		return func() error { return g.moveDir("d/", "e/", files...) }
	}, map[string]string{"d/object": "data", "d/edit": "new bytes", "d/new": "new file", "d/used": "in use"},
		map[string]string{"e/object": "data", "e/edit": "new bytes", "e/new": "new file", "e/used": "in use"}},
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

// calm lets no transaction fail while do runs.
func (g *writeRig) calm(do func()) {
	g.engine.mu.Lock()
	around := g.engine.around
	g.engine.mu.Unlock()
	g.transactions(func(apply func() error) error { return apply() })
	do()
	g.engine.mu.Lock()
	g.engine.around = around
	g.engine.mu.Unlock()
}

// moveDir is what names do for the rename of a directory; files are those in use below it.
func (g *writeRig) moveDir(from, to string, files ...*File) error {
	ctx := context.Background()
	for _, f := range files {
		f.Detach()
		defer f.Attach()
	}
	page, err := g.bucket.List(ctx, from, "", "", "", 1000)
	if err != nil {
		return err
	}
	_, err = g.engine.MoveDir(ctx, from, to, page.Objects, func(copies map[string]Copied) error {
		var err error
		for _, f := range files {
			old, now := f.Key(), f.Object()
			key := to + strings.TrimPrefix(old, from)
			switch c, ok := copies[old]; {
			case now == nil:
				err = errors.Join(err, f.RenameBelow(key))
			case ok && now.ETag == c.From.ETag:
				err = errors.Join(err, f.Moved(key, &c.To))
			default:
				err = errors.Join(err, f.Moved(key, nil))
			}
		}
		return err
	})
	return err
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

// A closed version that is not in the bucket yet survives a crash under the new name, while the
// next one is being written.
func TestRenameKeepsTheClosedVersion(t *testing.T) {
	for name, rename := range map[string]func(g *writeRig, f *File) error{
		"file":      func(g *writeRig, f *File) error { return f.Rename("e/k", nil, nil) },
		"directory": func(g *writeRig, f *File) error { return g.moveDir("d/", "e/", f) },
	} {
		for _, old := range []bool{false, true} { // there is an object: a rename of the file itself freezes what is being written
			if old && name == "file" {
				continue
			}
			t.Run(fmt.Sprint(name, old), func(t *testing.T) {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					var f *File
					if old {
						f = g.existing("d/k", []byte("old object"))
						g.open(f)
						check(t, f.Clear(context.Background()))
						g.write(f, []byte("closed"), 0)
						g.closeFile(f)
					} else {
						f = g.put("d/k", []byte("closed"))
					}
					g.open(f)
					check(t, f.Clear(context.Background()))
					g.write(f, []byte("half of the ne"), 0)
					check(t, rename(g, f))
					g.crash()
					g.wait()
					g.has("e/k", []byte("closed"))
					g.keys("e/k")
					g.idle()
				})
			})
		}
	}
}
