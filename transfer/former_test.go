package transfer

import (
	"context"
	"net/http"
	"testing"
	"time"

	"s3mount/internal/s3/s3test"
)

// rewrite gives a file other bytes, as a program that opens it with O_TRUNC.
func (g *writeRig) rewrite(f *File, data []byte) {
	g.t.Helper()
	g.open(f)
	check(g.t, f.Truncate(context.Background(), 0))
	g.write(f, data, 0)
	g.closeFile(f)
}

// A version is published after the file has left the name, and the file comes back with
// another one: that replaces it, and is no conflict.
func TestRenameBackToAPublication(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("a")
		g.hook("PutObject", "a", func() {
			g.rename(f, "b")
			g.rewrite(f, []byte("second"))
		})
		g.write(f, []byte("first"), 0)
		g.closeFile(f)
		after(writeSettle + time.Second/2)
		g.has("a", []byte("first"))
		g.rename(f, "a")
		g.wait()
		g.has("a", []byte("second"))
		g.keys("a")
		g.idle()
	})
}

// The bucket carries out a request whose answer was lost when the file has another version
// already: that replaces it, and is no conflict, under whatever name, and also after a crash.
func TestLateVersionIsReplaced(t *testing.T) {
	for name, then := range map[string]func(g *writeRig, f *File){
		"rewritten": func(g *writeRig, f *File) { g.rewrite(f, []byte("second")) },
		"edited": func(g *writeRig, f *File) {
			g.open(f)
			g.write(f, []byte("second"), 0)
			g.closeFile(f)
		},
		"renamed back": func(g *writeRig, f *File) {
			g.rename(f, "l")
			g.rewrite(f, []byte("second"))
			g.rename(f, "k")
		},
		"replaced": func(g *writeRig, f *File) {
			victim := f
			f = g.create("new")
			g.write(f, []byte("second"), 0)
			g.closeFile(f)
			o, moved := victim.Detach()
			check(g.t, f.Rename("k", o, moved, victim))
			victim.Drop()
		},
		"removed": func(g *writeRig, f *File) {
			_, err := g.engine.Remove(context.Background(), f)
			check(g.t, err)
			f = g.create("k")
			g.write(f, []byte("second"), 0)
			g.closeFile(f)
		},
	} {
		for _, crash := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
					later, puts := s3test.NewLater(), 0
					g.server.Fault(func(r *http.Request) *s3test.Fault {
						if s3test.Op(r) != "PutObject" {
							return nil
						}
						if puts++; puts == 1 {
							return &s3test.Fault{Late: later}
						}
						if crash {
							return &s3test.Fault{Drop: true}
						}
						later.CarryOut()
						return nil
					})
					f := g.create("k")
					g.write(f, []byte("first"), 0)
					g.closeFile(f)
					for ; puts == 0; after(time.Second / 100) {
					}
					then(g, f)
					if after(10 * time.Second); crash {
						g.kill(func(string) {})
						g.server.Fault(func(r *http.Request) *s3test.Fault {
							if s3test.Op(r) == "PutObject" {
								later.CarryOut()
							}
							return nil
						})
						g.start()
					}
					g.wait()
					g.has("k", []byte("second"))
					g.keys("k")
					g.idle()
				})
			})
		}
	}
}
