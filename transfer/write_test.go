package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
	"s3mount/transfer/plan"
)

func TestSmallFileIsOnePut(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.put("a.mov", []byte("hello"))
		if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600; m.MtimeNS = 1_500_000_000_123_456_789 }); err != nil {
			t.Fatal(err)
		}
		after(writeSettle / 2)
		if got := g.ops(); got != "" {
			t.Errorf("sent %q before the settle time", got)
		}
		after(writeSettle)
		if got := g.ops(); got != "PutObject" {
			t.Errorf("sent %q", got)
		}
		g.has("a.mov", []byte("hello"))
		h := g.server.Header("a.mov")
		for k, want := range map[string]string{
			"X-Amz-Meta-Mtime": "1500000000.123456789", "X-Amz-Meta-Mode": "33152", "Content-Type": "video/quicktime",
		} {
			if h.Get(k) != want {
				t.Errorf("%s: %q, want %q", k, h.Get(k), want)
			}
		}
		g.reads(f, []byte("hello"))
		g.idle()
	})
}

func TestEmptyFileAndHoles(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.put("empty", nil)
		f := g.create("sparse")
		if err := f.Truncate(context.Background(), 20<<20); err != nil {
			t.Fatal(err)
		}
		g.closeFile(f)
		g.wait()
		g.has("empty", nil)
		g.has("sparse", make([]byte, 20<<20))
		g.idle()
	})
}

func TestStreamingStartsBeforeTheClose(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 23<<20)
		f := g.create("clip.mp4")
		for off := 0; off < len(data); off += 1 << 20 {
			g.write(f, data[off:off+1<<20], int64(off))
		}
		synctest.Wait()
		up := g.server.Uploads()
		if len(up) != 1 || len(up[0].Parts) != 3 || up[0].Parts[1] != 0 || up[0].Parts[5] != 0 {
			t.Fatalf("while writing: %v, want the parts 2, 3 and 4", up)
		}
		copy(data, "moov")
		g.write(f, data[:4], 0)
		copy(data[6<<20:], "patched")
		g.write(f, data[6<<20:6<<20+7], 6<<20)
		g.closeFile(f)
		g.wait()
		g.has("clip.mp4", data)
		sent := map[string]int{}
		for _, r := range g.server.Requests() {
			if r.Op == "UploadPart" {
				sent[r.Query.Get("partNumber")]++
			}
		}
		if sent["1"] != 1 || sent["2"] != 2 || sent["3"] != 1 || sent["4"] != 1 || sent["5"] != 1 {
			t.Errorf("times each part was sent: %v", sent)
		}
		if n := g.server.Count("CopyObject"); n != 0 {
			t.Errorf("%d copies for the metadata", n)
		}
		g.keys("clip.mp4")
		g.reads(f, data)
		g.idle()
	})
}

func TestHoleInAStreamedFile(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := make([]byte, 31<<20)
		copy(data[20<<20:], writePattern(1, 11<<20))
		f := g.create("k")
		g.write(f, data[20<<20:], 20<<20)
		copy(data[8<<20:], writePattern(2, 1<<20))
		g.write(f, data[8<<20:9<<20], 8<<20)
		g.closeFile(f)
		g.wait()
		g.has("k", data)
		g.keys("k")
	})
}

// edits are changes of an object of 24 MiB.
var edits = map[string]func(g *writeRig, f *File, was []byte) []byte{
	"append": func(g *writeRig, f *File, was []byte) []byte {
		g.write(f, []byte("more"), int64(len(was)))
		return append(was, "more"...)
	},
	"overwrite": func(g *writeRig, f *File, was []byte) []byte {
		g.write(f, []byte("x"), 11<<20)
		was[11<<20] = 'x'
		return was
	},
	"head": func(g *writeRig, f *File, was []byte) []byte {
		g.write(f, []byte("head"), 0)
		copy(was, "head")
		return was
	},
	"cut": func(g *writeRig, f *File, was []byte) []byte {
		if err := f.Truncate(context.Background(), 17<<20+1); err != nil {
			g.t.Fatal(err)
		}
		return was[:17<<20+1]
	},
	"extend": func(g *writeRig, f *File, was []byte) []byte {
		if err := f.Truncate(context.Background(), 25<<20); err != nil {
			g.t.Fatal(err)
		}
		return append(was, make([]byte, 1<<20)...)
	},
	"punch": func(g *writeRig, f *File, was []byte) []byte {
		if err := f.PunchHole(context.Background(), 7<<20, 3<<20); err != nil {
			g.t.Fatal(err)
		}
		clear(was[7<<20 : 10<<20])
		return was
	},
	"cut and extend": func(g *writeRig, f *File, was []byte) []byte {
		for _, size := range []int64{12 << 20, 22 << 20} {
			if err := f.Truncate(context.Background(), size); err != nil {
				g.t.Fatal(err)
			}
		}
		clear(was[12<<20:])
		return was[:22<<20]
	},
}

func TestEditsCopyWhatDidNotChange(t *testing.T) {
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.existing("k", writePattern(1, 24<<20))
				g.open(f)
				want := edit(g, f, writePattern(1, 24<<20))
				g.reads(f, want)
				g.closeFile(f)
				g.wait()
				g.has("k", want)
				g.keys("k")
				g.reads(f, want)
				var sent, fetched int64
				for _, r := range g.server.Requests() {
					if r.Op == "UploadPart" {
						sent += r.Bytes
					}
				}
				if sent > 12<<20 || g.server.Count("UploadPartCopy") == 0 {
					t.Errorf("sent %d bytes, fetched %d, %d copies", sent, fetched, g.server.Count("UploadPartCopy"))
				}
				if g.server.Header("k").Get("X-Amz-Meta-Color") != "red" {
					t.Error("the metadata of another client is lost")
				}
				g.idle()
			})
		})
	}
}

func TestEditOfASmallObjectIsOnePut(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.existing("k", []byte("0123456789"))
		g.open(f)
		g.write(f, []byte("AB"), 4)
		g.write(f, []byte("!"), 12)
		g.closeFile(f)
		g.wait()
		g.has("k", []byte("0123AB6789\x00\x00!"))
		if g.server.Count("PutObject") != 1 || g.server.Count("CreateMultipartUpload") != 0 {
			t.Errorf("sent %q", g.ops())
		}
	})
}

func TestWriteAfterClose(t *testing.T) {
	for _, streaming := range []int{10, 18 << 20} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			data := writePattern(1, streaming)
			f := g.put("k", data)
			g.open(f)
			g.write(f, []byte("zz"), 3)
			copy(data[3:], "zz")
			g.reads(f, data)
			after(writeSettle / 2)
			g.closeFile(f)
			g.wait()
			g.has("k", data)
			g.reads(f, data)
			if n := g.server.Count("PutObject") + g.server.Count("CompleteMultipartUpload"); n != 1 {
				t.Errorf("%d publications, want the two closes in one", n)
			}
			g.keys("k")
			g.idle()
		})
	}
}

// A version that is being sent never holds bytes that were written later.
func TestVersionsAreNeverMixed(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		one, two := bytes.Repeat([]byte("1"), 1000), bytes.Repeat([]byte("2"), 1000)
		g.fault("PutObject", 1, s3test.Fault{Delay: 5 * time.Second})
		f := g.put("k", one)
		after(2 * writeSettle)
		g.open(f)
		g.write(f, two[:500], 0)
		g.reads(f, append(slices.Clone(two[:500]), one[500:]...))
		after(4 * time.Second)
		g.has("k", one)
		g.write(f, two[500:], 500)
		g.closeFile(f)
		g.wait()
		g.has("k", two)
		g.reads(f, two)
		g.keys("k")
		g.idle()
	})
}

func TestTruncateAndWriteAgainSendsTheLastOnly(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.put("k", []byte("one"))
		g.open(f)
		if err := f.Truncate(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		g.write(f, []byte("second"), 0)
		g.closeFile(f)
		g.wait()
		g.has("k", []byte("second"))
		if n := g.server.Count("PutObject"); n != 1 {
			t.Errorf("%d PUTs", n)
		}
		g.idle()
	})
}

func TestSyncWhileWritingOn(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, []byte("abc"), 0)
		g.fault("PutObject", -1, s3test.Fault{Delay: time.Second})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := f.Sync(context.Background()); err != nil {
					t.Errorf("fsync: %v", err)
				}
				if got, _ := g.server.Object("k"); string(got) != "abc" {
					t.Errorf("fsync returned with %q in the bucket", got)
				}
			})
		}
		after(time.Second / 2)
		g.write(f, []byte("ZZ"), 1)
		wg.Wait()
		if n := g.server.Count("PutObject"); n != 1 {
			t.Errorf("%d publications for fsyncs of one content", n)
		}
		g.reads(f, []byte("aZZ"))
		if err := f.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		g.has("k", []byte("aZZ"))
		g.closeFile(f)
		g.wait()
		g.idle()
	})
}

// fsync ends when the engine does, in the middle of a try and between two.
func TestSyncEndsWithTheEngine(t *testing.T) {
	for at := 40 * time.Second; at < 60*time.Second; at += 2 * time.Second {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.fault("PutObject", -1, s3test.Fault{Status: 503, Code: "SlowDown"})
			f := g.put("k", []byte("x"))
			failed := make(chan error, 1)
			go func() { failed <- f.Sync(context.Background()) }()
			after(at)
			g.engine.Close()
			synctest.Wait()
			select {
			case err := <-failed:
				if err == nil {
					t.Error("fsync of an unpublished file succeeded")
				}
			default:
				t.Errorf("fsync goes on waiting, %v after it began", at)
				f.Drop()
			}
		})
	}
}

func TestSyncTimeout(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.fault("PutObject", -1, s3test.Fault{Status: 503, Code: "SlowDown"})
		f := g.put("k", []byte("x"))
		g.engine.opts.SyncTimeout = time.Minute
		begin := time.Now()
		if err := f.Sync(context.Background()); !errors.Is(err, errTimeout) || time.Since(begin) != time.Minute {
			t.Errorf("fsync: %v after %v", err, time.Since(begin))
		}
		g.server.Fault(nil)
		g.wait()
		g.has("k", []byte("x"))
	})
}

// What a sync froze does not change, whatever waits for the same write to end.
func TestTruncateLeavesFrozenContentAlone(t *testing.T) {
	for name, change := range map[string]func(f *File) error{
		"truncate": func(f *File) error { return f.Truncate(context.Background(), 2) },
		"punch":    func(f *File) error { return f.PunchHole(context.Background(), 0, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.create("k")
				g.write(f, []byte("abcdef"), 0)
				f.mu.Lock()
				c := f.head()
				c.inflight++ // a write is on its way
				f.mu.Unlock()
				var wg sync.WaitGroup
				wg.Go(func() { f.Sync(context.Background()) })
				synctest.Wait()
				wg.Go(func() { change(f) })
				synctest.Wait()
				f.mu.Lock()
				c.inflight--
				f.cond.Signal() // the sync waits longest
				f.mu.Unlock()
				synctest.Wait()
				f.mu.Lock()
				f.cond.Broadcast()
				f.mu.Unlock()
				wg.Wait()
				g.has("k", []byte("abcdef"))
				g.closeFile(f)
				g.wait()
				if got, _ := g.server.Object("k"); string(got) == "abcdef" {
					t.Error("the change is lost")
				}
			})
		})
	}
}

func TestSeekData(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, []byte("data"), 1<<20)
		for _, c := range []struct {
			off, want int64
			hole      bool
		}{{0, 1 << 20, false}, {0, 0, true}, {1 << 20, 1<<20 + 4, true}} {
			if got, err := f.SeekData(context.Background(), c.off, c.hole); got != c.want || err != nil {
				t.Errorf("seek %d hole=%v: %d, %v, want %d", c.off, c.hole, got, err, c.want)
			}
		}
		if _, err := f.SeekData(context.Background(), 1<<20+4, false); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		if _, err := f.WriteAt(context.Background(), []byte("x"), plan.MaxObject); !errors.Is(err, ErrTooBig) {
			t.Errorf("too big: %v", err)
		}
		g.closeFile(f)
		g.wait()
	})
}

func TestSpoolFull(t *testing.T) {
	writeSim(t, 8<<20, func(t *testing.T, g *writeRig) {
		ctx := context.Background()
		g.put("one", writePattern(1, 6<<20))
		g.fault("PutObject", 1, s3test.Fault{Delay: 10 * time.Second})
		after(2 * writeSettle)
		f := g.create("two")
		begin := time.Now()
		g.write(f, writePattern(2, 6<<20), 0) // waits for one to be published
		if d := time.Since(begin); d < 5*time.Second {
			t.Errorf("written after %v: there was no room", d)
		}
		begin = time.Now()
		if _, err := f.WriteAt(ctx, make([]byte, 4<<20), 6<<20); !errors.Is(err, ErrSpoolFull) || time.Since(begin) > 2*time.Minute {
			t.Errorf("more than the spool: %v after %v", err, time.Since(begin))
		}
		g.closeFile(f)
		g.wait()
		g.has("one", writePattern(1, 6<<20))
		g.has("two", writePattern(2, 6<<20))

		g.server.Fault(func(*http.Request) *s3test.Fault { return &s3test.Fault{Drop: true} }) // offline
		g.put("three", writePattern(3, 6<<20))
		f = g.create("four")
		begin = time.Now()
		if _, err := f.WriteAt(ctx, make([]byte, 4<<20), 0); !errors.Is(err, ErrSpoolFull) || time.Since(begin) > 5*time.Minute {
			t.Errorf("offline: %v after %v", err, time.Since(begin))
		}
		g.closeFile(f)
		g.server.Fault(nil)
		g.wait()
		g.has("three", writePattern(3, 6<<20))
		g.has("four", nil)
	})
}

// A file that streamed, and is empty in the end.
func TestStreamCutToNothing(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, writePattern(1, 24<<20), 0)
		synctest.Wait()
		if err := f.Truncate(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		g.closeFile(f)
		g.wait()
		g.has("k", nil)
		g.keys("k")
		g.idle()
	})
}
