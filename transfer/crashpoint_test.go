package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
	"s3mount/transfer/journal"
)

// A process can end at every transition: before and after each transaction of its
// journal, before each request, and after a request took effect whose answer it
// never got. TestCrashPoints ends it at each of them in turn, over scenarios of
// what applications do, and looks at what the next process makes of it.

// crashStage says where the process ends.
type crashStage int

const (
	beforeTransaction crashStage = iota
	afterTransaction
	beforeRequest
	afterRequest
	duringRequest // that changes something: the bucket carries it out later
)

func (s crashStage) String() string {
	return [...]string{"before transaction", "after transaction", "before request", "after request", "during request"}[s]
}

var errCrashed = errors.New("the process has ended")

// crashRig runs one scenario up to its k-th event of a stage.
type crashRig struct {
	*writeRig
	stage crashStage
	k     int

	mu    sync.Mutex // held over a transaction and a snapshot
	count int
	dead  bool
	snap  string // the directory as the crash left it
	where string // what happened then

	uploads map[string]bool // that the journal knew of

	later *s3test.Later // what was under way
	died  time.Time
	late  lateness
	asked int // requests of the next process

	now, next bucketState // what was acknowledged; what an unfinished step may lead to
	versions  [][]byte    // every content that may ever be in the bucket
	stopped   context.Context
	stop      context.CancelFunc
}

// bucketState is what has to be in the bucket, by key.
type bucketState map[string]wanted

type wanted struct {
	data []byte
	mode uint32
}

// event counts an event, and ends the process when it is the k-th of the stage.
// The caller holds g.mu.
func (g *crashRig) event(stage crashStage, what string) (ended bool) {
	if stage != g.stage {
		return false
	}
	if g.count++; g.count != g.k {
		return false
	}
	for try := 1; ; try++ {
		g.snap = fmt.Sprintf("%s/crash-%d", g.t.TempDir(), try)
		err := os.CopyFS(g.snap, os.DirFS(g.dir))
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) || try == 10 { // a file that went meanwhile
			g.t.Errorf("snapshot: %v", err)
			break
		}
	}
	g.dead, g.where = true, what
	g.stop()
	return true
}

func (g *crashRig) around(apply func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead || g.event(beforeTransaction, "a transaction") {
		return errCrashed
	}
	err := apply()
	if g.event(afterTransaction, "a transaction") {
		return errCrashed
	}
	return err
}

func (g *crashRig) fault(r *http.Request) *s3test.Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	what := s3test.Op(r) + " " + r.URL.RequestURI()
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	if changes && (g.dead && g.stage == duringRequest && time.Now().Equal(g.died) || g.event(duringRequest, what)) {
		g.died = time.Now()
		return &s3test.Fault{Late: g.later}
	}
	if g.dead || g.event(beforeRequest, what) {
		return &s3test.Fault{Drop: true}
	}
	if g.event(afterRequest, what) {
		return &s3test.Fault{LoseAnswer: true}
	}
	return nil
}

func (g *crashRig) over() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dead
}

// step does something that the application waits for, and changes what has to be
// in the bucket in the end.
func (g *crashRig) step(do func() error, change func(w bucketState)) {
	g.t.Helper()
	if g.over() {
		return
	}
	g.next = maps.Clone(g.now)
	if change != nil {
		change(g.next)
		for _, w := range g.next {
			g.versions = append(g.versions, w.data)
		}
	}
	err := do()
	if g.over() {
		return
	}
	if err != nil {
		g.t.Fatalf("a step without a crash: %v", err)
	}
	g.now = g.next
}

// file creates a file, writes it, and closes it.
func (g *crashRig) file(key string, data []byte) *File {
	f := g.begin(key, data)
	g.close(f, key, data)
	return f
}

func (g *crashRig) begin(key string, data []byte) *File {
	var f *File
	g.step(func() error {
		var err error
		if f, err = g.engine.Create(key, nil, writeMeta()); err != nil {
			return err
		}
		return f.OpenHandle(true)
	}, nil)
	g.patch(f, data, 0)
	return f
}

func (g *crashRig) open(f *File) {
	g.step(func() error { return f.OpenHandle(true) }, nil)
}

func (g *crashRig) patch(f *File, data []byte, off int64) {
	for len(data) > 0 { // in the sizes in which the kernel sends them
		n := min(len(data), 1<<20)
		g.step(func() error {
			_, err := f.WriteAt(g.stopped, data[:n], off)
			return err
		}, nil)
		data, off = data[n:], off+int64(n)
	}
}

func (g *crashRig) close(f *File, key string, data []byte) {
	g.step(func() error {
		err := f.Flush(g.stopped)
		f.CloseHandle(true)
		return err
	}, func(w bucketState) { w[key] = wanted{data, ModeFile | 0o644} })
}

// duplicate copies a file by reference. What is complete is kept without a close.
func (g *crashRig) duplicate(src *File, key string, data []byte) *File {
	f := g.begin(key, nil)
	g.copyRange(f, src, 0, src.Size(), key, data)
	g.close(f, key, data)
	return f
}

// copyRange copies by reference; data is what is in the bucket in the end when the copy
// is complete.
func (g *crashRig) copyRange(f, src *File, off, n int64, key string, data []byte) {
	g.step(func() error {
		copied, err := f.CopyRange(g.stopped, src, off, n)
		if err == nil && copied == 0 {
			err = errors.New("copied nothing")
		}
		return err
	}, func(w bucketState) {
		if off+n == int64(len(data)) {
			w[key] = wanted{data, ModeFile | 0o644}
		}
	})
}

func (g *crashRig) rename(f *File, from, to string) {
	g.step(func() error { return f.Rename(to, nil, nil) }, func(w bucketState) { w.move(from, to) })
}

func (g *crashRig) moveObject(f *File, from, to string) {
	g.step(func() error {
		_, err := g.engine.MoveObject(g.stopped, f, to, nil, nil)
		return err
	}, func(w bucketState) { w.move(from, to) })
}

// moveOver renames a published file over another one as names does.
func (g *crashRig) moveOver(f, victim *File, from, to string) {
	g.step(func() error {
		if _, err := g.engine.MoveObject(g.stopped, f, to, victim, nil); err != nil {
			victim.Attach()
			return err
		}
		victim.Drop()
		return nil
	}, func(w bucketState) { w.move(from, to) })
}

// moveDir renames a directory as names does: files below it that are in use are given.
func (g *crashRig) moveDir(from, to string, files ...*File) {
	g.step(func() error {
		for _, f := range files {
			f.Detach()
			defer f.Attach()
		}
		page, err := g.bucket.List(g.stopped, from, "", "", "", 1000)
		if err != nil {
			return err
		}
		later, err := g.engine.MoveDir(g.stopped, from, to, page.Objects, func(copies map[string]Copied) error {
			var err error
			for _, f := range files {
				old, now := f.Key(), f.Object()
				key := to + strings.TrimPrefix(old, from)
				switch c, ok := copies[old]; {
				case now == nil:
					err = errors.Join(err, f.Rename(key, nil, nil))
				case ok && now.ETag == c.From.ETag:
					err = errors.Join(err, f.Moved(key, &c.To))
				default:
					err = errors.Join(err, f.Moved(key, nil))
				}
			}
			return err
		})
		if len(later) > 0 && !g.over() {
			g.t.Errorf("left: %v", later)
		}
		return err
	}, func(w bucketState) {
		for _, key := range slices.Collect(maps.Keys(w)) {
			w.move(key, to+strings.TrimPrefix(key, from))
		}
	})
}

func (w bucketState) move(from, to string) {
	if x, ok := w[from]; ok {
		w[to] = x
		delete(w, from)
	}
}

func (g *crashRig) remove(f *File, key string) {
	g.step(func() error {
		_, err := g.engine.Remove(g.stopped, f)
		return err
	}, func(w bucketState) { delete(w, key) })
}

func (g *crashRig) chmod(f *File, key string, mode uint32) {
	g.step(func() error {
		return f.SetMeta(func(m *Meta) { m.Mode = ModeFile | mode })
	}, func(w bucketState) { w[key] = wanted{w[key].data, ModeFile | mode} })
}

func (g *crashRig) truncate(f *File, size int64) {
	g.step(func() error { return f.Truncate(g.stopped, size) }, nil)
}

func (g *crashRig) settle() {
	g.step(func() error { return g.engine.Wait(g.stopped, "") }, nil)
	g.step(func() error { after(5 * time.Second); return nil }, nil)
}

func (g *crashRig) pause(d time.Duration) { g.step(func() error { after(d); return nil }, nil) }

// object is there before the application begins.
func (g *crashRig) object(key string, data []byte) *File {
	f := g.existing(key, data)
	g.now[key] = wanted{data: slices.Clone(data)}
	g.versions = append(g.versions, g.now[key].data)
	return f
}

func patched(data []byte, p string, off int) []byte {
	out := slices.Clone(data)
	for len(out) < off+len(p) {
		out = append(out, 0)
	}
	copy(out[off:], p)
	return out
}

const crashLarge = 17 << 20 // a multipart upload

var crashScenarios = map[string]func(g *crashRig){
	"small": func(g *crashRig) {
		g.file("k", []byte("small"))
		g.settle()
	},
	"two files": func(g *crashRig) {
		g.file("k", []byte("small"))
		g.file("l", []byte("other"))
		g.settle()
	},
	"multipart": func(g *crashRig) {
		g.file("k", writePattern(1, crashLarge))
		g.settle()
	},
	"rewritten head": func(g *crashRig) {
		data := writePattern(1, crashLarge)
		f := g.begin("k", data)
		g.pause(time.Second)
		g.patch(f, []byte("head"), 3)
		g.close(f, "k", patched(data, "head", 3))
		g.settle()
	},
	"edit": func(g *crashRig) {
		data := writePattern(1, 14<<20)
		f := g.object("k", data)
		g.open(f)
		g.patch(f, []byte("edit"), 12<<20)
		g.close(f, "k", patched(data, "edit", 12<<20))
		g.settle()
	},
	"append": func(g *crashRig) {
		data := []byte("begin")
		f := g.object("k", data)
		g.open(f)
		g.patch(f, []byte(" end"), 5)
		g.close(f, "k", []byte("begin end"))
		g.settle()
	},
	"rename before": func(g *crashRig) {
		f := g.file("k", []byte("small"))
		g.rename(f, "k", "l")
		g.settle()
	},
	"rename of an edit": func(g *crashRig) {
		f := g.object("k", []byte("old bytes"))
		g.open(f)
		g.patch(f, []byte("new"), 0)
		g.close(f, "k", []byte("new bytes"))
		g.rename(f, "k", "l")
		g.settle()
	},
	"rename of an upload": func(g *crashRig) {
		data := writePattern(1, crashLarge)
		f := g.begin("k", data)
		g.pause(time.Second)
		g.close(f, "k", data)
		g.rename(f, "k", "l")
		g.settle()
	},
	"rename there and back": func(g *crashRig) {
		f := g.object("k", []byte("old bytes"))
		g.open(f)
		g.patch(f, []byte("new"), 0)
		g.close(f, "k", []byte("new bytes"))
		g.rename(f, "k", "l")
		g.step(func() error { return f.Rename("k", nil, nil) }, func(w bucketState) { w.move("l", "k") })
		g.settle()
	},
	"rename after": func(g *crashRig) {
		f := g.file("k", []byte("small"))
		g.settle()
		g.moveObject(f, "k", "l")
		g.settle()
	},
	"rename over": func(g *crashRig) {
		victim := g.object("l", []byte("victim"))
		f := g.file("k", []byte("small"))
		g.step(func() error {
			o, moved := victim.Detach()
			if err := f.Rename("l", o, moved, victim); err != nil {
				return err
			}
			victim.Drop()
			return nil
		}, func(w bucketState) { w.move("k", "l") })
		g.settle()
	},
	"rename of an object that is written": func(g *crashRig) {
		f, data := g.object("k", []byte("old bytes")), []byte("new bytes")
		g.open(f)
		g.patch(f, []byte("new"), 0)
		g.step(func() error { return f.Flush(g.stopped) }, func(w bucketState) { w["k"] = wanted{data, ModeFile | 0o644} })
		g.moveObject(f, "k", "l")
		g.close(f, "l", data)
		g.settle()
	},
	"rename of what changed its mode, then two versions of it": func(g *crashRig) {
		f, data := g.object("k", []byte("old bytes")), []byte("old bytes")
		g.chmod(f, "k", 0o600)
		g.rename(f, "k", "l")
		for off, p := range []string{"A", "B"} {
			g.open(f)
			g.patch(f, []byte(p), int64(off))
			data = patched(data, p, off)
			g.step(func() error {
				err := f.Flush(g.stopped)
				f.CloseHandle(true)
				return err
			}, func(w bucketState) { w["l"] = wanted{data, ModeFile | 0o600} })
		}
		g.settle()
	},
	"rename of an object over what is new": func(g *crashRig) {
		f := g.object("k", []byte("object"))
		victim := g.file("l", []byte("victim"))
		g.moveOver(f, victim, "k", "l")
		g.settle()
	},
	"rename of an object over an edit": func(g *crashRig) {
		f := g.object("k", []byte("object"))
		victim := g.object("l", []byte("old victim"))
		g.open(victim)
		g.patch(victim, []byte("new"), 0)
		g.close(victim, "l", []byte("new victim"))
		g.moveOver(f, victim, "k", "l")
		g.settle()
	},
	"rename of an object over a renamed edit": func(g *crashRig) {
		f := g.object("k", []byte("object"))
		victim := g.object("m", []byte("old victim"))
		g.open(victim)
		g.patch(victim, []byte("new"), 0)
		g.close(victim, "m", []byte("new victim"))
		g.rename(victim, "m", "l")
		g.moveOver(f, victim, "k", "l")
		g.settle()
	},
	"rename of an object over an upload": func(g *crashRig) {
		f := g.object("k", []byte("object"))
		data := writePattern(1, crashLarge)
		victim := g.begin("l", data)
		g.pause(time.Second)
		g.close(victim, "l", data)
		g.moveOver(f, victim, "k", "l")
		g.settle()
	},
	"rename of an object over what is being written": func(g *crashRig) {
		f := g.object("k", []byte("object"))
		data := []byte("flushed, and still open")
		victim := g.begin("l", data)
		g.step(func() error { return victim.Flush(g.stopped) }, func(w bucketState) { w["l"] = wanted{data, ModeFile | 0o644} })
		g.moveOver(f, victim, "k", "l")
		g.step(func() error { victim.CloseHandle(true); return nil }, nil)
		g.settle()
	},
	"made again where a renamed file was published": func(g *crashRig) {
		f := g.file("k", []byte("first"))
		g.step(func() error { time.Sleep(writeSettle + time.Millisecond); return nil }, nil)
		g.rename(f, "k", "l")
		g.file("k", []byte("second"))
		h := g.file("m", []byte("third"))
		g.step(func() error {
			o, moved := f.Detach()
			if err := h.Rename("l", o, moved, f); err != nil {
				return err
			}
			f.Drop()
			return nil
		}, func(w bucketState) { w.move("m", "l") })
		g.remove(h, "l")
		g.settle()
	},
	"truncated while it is published under its old name": func(g *crashRig) {
		data := writePattern(1, crashLarge)
		f := g.file("k", data)
		g.rename(f, "k", "l")
		g.step(func() error { time.Sleep(writeSettle + time.Millisecond); return nil }, nil)
		g.open(f)
		g.truncate(f, 10)
		g.close(f, "l", data[:10])
		g.settle()
	},
	"rename of a directory": func(g *crashRig) {
		g.object("d/one", []byte("one"))
		g.object("d/sub/two", []byte("two"))
		g.object("d/", nil)
		edit := g.object("d/edit", []byte("old bytes"))
		f := g.file("d/new", []byte("never published"))
		g.open(edit)
		g.patch(edit, []byte("new"), 0)
		g.close(edit, "d/edit", []byte("new bytes"))
		g.moveDir("d/", "e/", f, edit)
		g.settle()
	},
	"rename of a directory, an edit is being published": func(g *crashRig) {
		edit := g.object("d/edit", []byte("old bytes"))
		g.open(edit)
		g.patch(edit, []byte("new"), 0)
		g.close(edit, "d/edit", []byte("new bytes"))
		g.step(func() error { time.Sleep(writeSettle + time.Millisecond); return nil }, nil)
		g.moveDir("d/", "e/", edit)
		g.settle()
	},
	"unlink before": func(g *crashRig) {
		f := g.file("k", []byte("small"))
		g.remove(f, "k")
		g.settle()
	},
	"unlink of an upload": func(g *crashRig) {
		f := g.begin("k", writePattern(1, crashLarge))
		g.pause(time.Second)
		g.remove(f, "k")
		g.step(func() error { f.CloseHandle(true); return nil }, nil)
		g.settle()
	},
	"unlink of a large version of an object": func(g *crashRig) {
		f := g.object("k", []byte("begin"))
		g.open(f)
		g.truncate(f, 0)
		data := writePattern(1, crashLarge)
		g.patch(f, data, 0)
		g.close(f, "k", data)
		g.remove(f, "k")
		g.settle()
	},
	"rename over an upload": func(g *crashRig) {
		victim := g.begin("l", writePattern(1, crashLarge))
		g.pause(time.Second)
		f := g.file("k", []byte("small"))
		g.step(func() error {
			o, moved := victim.Detach()
			if err := f.Rename("l", o, moved, victim); err != nil {
				return err
			}
			victim.Drop()
			return nil
		}, func(w bucketState) { w.move("k", "l") })
		g.step(func() error { victim.CloseHandle(true); return nil }, nil)
		g.settle()
	},
	"written anew while it uploads": func(g *crashRig) {
		f := g.file("k", writePattern(1, crashLarge))
		g.open(f)
		g.truncate(f, 0)
		g.patch(f, []byte("second"), 0)
		g.close(f, "k", []byte("second"))
		g.settle()
	},
	"unlink after": func(g *crashRig) {
		f := g.file("k", []byte("small"))
		g.settle()
		g.remove(f, "k")
		g.settle()
	},
	"unlink of an edit": func(g *crashRig) {
		data := writePattern(1, 14<<20)
		f := g.object("k", data)
		g.open(f)
		g.patch(f, []byte("edit"), 12<<20)
		g.close(f, "k", patched(data, "edit", 12<<20))
		g.remove(f, "k")
		g.settle()
	},
	"rename over an edit": func(g *crashRig) {
		data := []byte("victim bytes")
		victim := g.object("l", data)
		f := g.object("k", []byte("small"))
		g.open(victim)
		g.patch(victim, []byte("edit"), 7)
		g.close(victim, "l", patched(data, "edit", 7))
		g.step(func() error {
			if _, err := g.engine.MoveObject(g.stopped, f, "l", victim, nil); err != nil {
				return err
			}
			victim.Drop()
			return nil
		}, func(w bucketState) { w.move("k", "l") })
		g.settle()
	},
	"unlink while open": func(g *crashRig) {
		f := g.object("k", []byte("bytes"))
		g.open(f)
		g.remove(f, "k")
		g.step(func() error { f.CloseHandle(true); return nil }, nil)
		g.settle()
	},
	"made again": func(g *crashRig) {
		f := g.file("k", []byte("first"))
		g.pause(2 * writeSettle)
		g.remove(f, "k")
		g.file("k", []byte("second"))
		g.settle()
	},
	"truncate": func(g *crashRig) {
		f := g.object("k", []byte("0123456789"))
		g.open(f)
		g.truncate(f, 4)
		g.truncate(f, 6)
		g.close(f, "k", []byte("0123\x00\x00"))
		g.settle()
	},
	"written anew": func(g *crashRig) {
		f := g.object("k", []byte("0123456789"))
		g.open(f)
		g.truncate(f, 0)
		g.patch(f, []byte("abc"), 0)
		g.close(f, "k", []byte("abc"))
		g.settle()
	},
	"mode before": func(g *crashRig) {
		f := g.file("k", []byte("small"))
		g.chmod(f, "k", 0o600)
		g.settle()
	},
	"mode of an upload": func(g *crashRig) {
		f := g.file("k", writePattern(1, crashLarge))
		g.chmod(f, "k", 0o600)
		g.settle()
	},
	"mode after": func(g *crashRig) {
		f := g.object("k", []byte("small"))
		g.chmod(f, "k", 0o600)
		g.settle()
	},
	"two versions": func(g *crashRig) {
		f := g.file("k", []byte("first"))
		g.open(f)
		g.patch(f, []byte("F"), 0)
		g.close(f, "k", []byte("First"))
		g.settle()
	},
	"three versions": func(g *crashRig) {
		f := g.file("k", []byte("first"))
		g.open(f)
		g.patch(f, []byte("F"), 0)
		g.close(f, "k", []byte("First"))
		g.open(f)
		g.patch(f, []byte("I"), 1)
		g.close(f, "k", []byte("FIrst"))
		g.settle()
	},
	"a third version that stays open": func(g *crashRig) {
		f := g.file("k", []byte("first"))
		g.open(f)
		g.patch(f, []byte("F"), 0)
		g.close(f, "k", []byte("First"))
		g.open(f)
		g.open(f)
		g.patch(f, []byte("I"), 1)
		g.close(f, "k", []byte("FIrst"))
		g.settle()
		g.step(func() error { f.CloseHandle(true); return nil }, nil)
		g.settle()
	},
	"two versions, the second while the first is sent": func(g *crashRig) {
		f := g.file("k", []byte("first"))
		g.step(func() error { time.Sleep(writeSettle + time.Millisecond); return nil }, nil)
		g.open(f)
		g.patch(f, []byte("F"), 0)
		g.close(f, "k", []byte("First"))
		g.rename(f, "k", "l")
		g.settle()
	},
	"two edits, the second while the first is sent": func(g *crashRig) {
		f := g.object("k", []byte("0123456789"))
		g.open(f)
		g.patch(f, []byte("a"), 0)
		g.close(f, "k", []byte("a123456789"))
		g.step(func() error { time.Sleep(writeSettle + time.Millisecond); return nil }, nil)
		g.open(f)
		g.patch(f, []byte("b"), 5)
		g.close(f, "k", []byte("a1234b6789"))
		g.settle()
	},
	"copy": func(g *crashRig) {
		data := writePattern(1, 1<<20)
		f := g.duplicate(g.object("k", data), "l", data)
		g.chmod(f, "l", 0o600)
		g.settle()
	},
	"copy, then its source is written anew": func(g *crashRig) {
		data := []byte("the bytes of both")
		src := g.object("k", data)
		g.duplicate(src, "l", data)
		g.open(src)
		g.patch(src, []byte("other"), 0)
		g.close(src, "k", patched(data, "other", 0))
		g.settle()
	},
	"copy over a file that is being published, then its source goes": func(g *crashRig) {
		data := []byte("the bytes of both")
		src := g.object("k", data)
		f := g.file("l", []byte("first"))
		g.step(func() error { time.Sleep(writeSettle + time.Millisecond); return nil }, nil)
		g.open(f)
		g.truncate(f, 0)
		g.copyRange(f, src, 0, src.Size(), "l", data)
		g.close(f, "l", data)
		g.remove(src, "k")
		g.file("k", []byte("second"))
		g.settle()
	},
	"copy, then an edit of it": func(g *crashRig) {
		data := writePattern(1, 14<<20)
		f := g.duplicate(g.object("k", data), "l", data)
		g.open(f)
		g.patch(f, []byte("edit"), 12<<20)
		g.close(f, "l", patched(data, "edit", 12<<20))
		g.settle()
	},
	"copy in ranges, then its source is renamed": func(g *crashRig) {
		data := writePattern(1, 1<<20)
		src := g.object("k", data)
		f := g.begin("l", nil)
		for off := int64(0); off < 1<<20; off += 1 << 18 {
			g.copyRange(f, src, off, 1<<18, "l", data)
		}
		g.close(f, "l", data)
		g.moveObject(src, "k", "m")
		g.settle()
	},
	"second version of an upload": func(g *crashRig) {
		data := writePattern(1, crashLarge)
		f := g.file("k", data)
		g.open(f)
		g.patch(f, []byte("second"), 9<<20)
		g.close(f, "k", patched(data, "second", 9<<20))
		g.settle()
	},
}

func TestCrashPoints(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(crashScenarios)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for stage := beforeTransaction; stage <= afterRequest; stage++ {
				for k := 1; crashAt(t, crashScenarios[name], stage, k, lateness{}); k++ {
					points++
				}
			}
			t.Logf("%d crash points", points)
			if points < 4 {
				t.Errorf("%d crash points only", points)
			}
		})
	}
}

// crashAt runs a scenario to the k-th event of the stage, and the next process
// behind it. It returns false when the scenario has no such event, or the next process not so
// many requests.
func crashAt(t *testing.T, scenario func(g *crashRig), stage crashStage, k int, late lateness) (reached bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &crashRig{writeRig: newWriteRig(t, 1<<30), stage: stage, k: k, now: bucketState{}, later: s3test.NewLater(), late: late}
		g.stopped, g.stop = context.WithCancel(context.Background())
		defer g.stop()
		g.writeRig.start()
		g.engine.around = g.around
		g.server.Fault(g.fault)
		scenario(g)
		reached = g.over()
		synctest.Wait()
		if reached {
			g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Drop: true} })
			g.checkVersions()
			g.writeRig.stop()
			g.restart()
			defer g.finish()
		} else {
			defer g.finish()
		}
		g.wait()
		g.checkEnd()
		if reached {
			defer g.checkSpool()
		}
		if t.Failed() {
			t.Errorf("crash %v %d: %s; late: %+v", stage, k, g.where, late)
		}
		reached = reached && g.asked >= late.request
	})
	return reached && !t.Failed()
}

// restart is the next process, over the directory that the crash left.
func (g *crashRig) restart() {
	g.t.Helper()
	r, err := journal.OpenReadOnly(g.snap)
	if err != nil {
		g.t.Fatal(err)
	}
	records, err := r.Records()
	if err = errors.Join(err, r.Close()); err != nil {
		g.t.Fatal(err)
	}
	known := map[string]bool{}
	for _, x := range records {
		if x.Upload != nil {
			known[x.Upload.ID] = true
		}
	}
	g.dir = g.snap
	if g.late == (lateness{}) {
		g.later.CarryOut()
	}
	g.server.Fault(g.carryOut)
	synctest.Wait()
	g.start()
	if g.late.after > 0 {
		time.AfterFunc(g.late.after, g.later.CarryOut)
	}
	g.uploads = known
}

// checkSpool wants no bytes left once the engine has ended. (finish runs after it:
// the copies that are kept for reading go first.)
func (g *crashRig) checkSpool() {
	for g.engine.evictLocal() {
	}
	if ids, err := g.journal.Spool.IDs(); err != nil || len(ids) > 0 {
		g.t.Errorf("spool files left: %v, %v", ids, err)
	}
}

// checkVersions looks for an object that is no version of any file.
func (g *crashRig) checkVersions() {
	g.t.Helper()
	for _, key := range g.server.Keys() {
		data, _ := g.server.Object(key)
		if !slices.ContainsFunc(g.versions, func(v []byte) bool { return bytes.Equal(v, data) }) {
			g.t.Errorf("%q has %d bytes that were never a version", key, len(data))
		}
	}
}

// checkEnd wants what was acknowledged, or that with the step that was cut.
func (g *crashRig) checkEnd() {
	g.t.Helper()
	g.idle()
	listed := g.engine.LostUploads()
	for _, u := range g.server.Uploads() { // one whose ID the journal never heard of is for the list of uploads
		owned := g.uploads[u.ID] && !g.setAside(u.Key)
		if owned || !g.over() || !slices.Contains(listed, u.Key) {
			g.t.Errorf("the upload %s of %q is left, those at %q are listed", u.ID, u.Key, listed)
		}
	}
	why := g.differs(g.now)
	if why != "" && g.next != nil {
		if other := g.differs(g.next); other != "" {
			g.t.Errorf("%s; and %s", why, other)
		}
	} else if why != "" {
		g.t.Error(why)
	}
}

// setAside tells whether what the journal knew of the key is damaged: where the record was
// there before the bytes, since the process ended within a close. Its upload stays.
func (g *crashRig) setAside(key string) bool {
	return slices.ContainsFunc(g.found.Damaged, func(d Damaged) bool { return d.Key == key })
}

func (g *crashRig) differs(want bucketState) string {
	if got := g.server.Keys(); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		return fmt.Sprintf("the bucket holds %q, want %q", got, slices.Sorted(maps.Keys(want)))
	}
	for key, w := range want {
		data, _ := g.server.Object(key)
		mode := g.server.Header(key).Get("X-Amz-Meta-Mode")
		if i := writeDiff(data, w.data); i >= 0 {
			return fmt.Sprintf("%q: %d bytes, want %d; they differ from %d on", key, len(data), len(w.data), i)
		}
		if w.mode != 0 && mode != strconv.Itoa(int(w.mode)) {
			return fmt.Sprintf("%q has mode %s, want %d", key, mode, w.mode)
		}
	}
	return ""
}
