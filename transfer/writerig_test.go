package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

const (
	writeSettle = time.Second
	writePart   = 5 << 20
)

// writeRig is an Engine over a fake bucket in virtual time. The journal and the
// spool are on the disk, in a directory of the test.
type writeRig struct {
	t       *testing.T
	server  *s3test.Server
	bucket  *s3.Bucket
	dir     string
	limit   int64 // of the spool
	part    int64 // size of parts; 0: growing
	budget  *mem.Budget
	arena   *mem.Arena
	fetcher *Fetcher
	blocks  string // directory of the tier; empty: what was read is nowhere on disk
	tier    *disk.Tier
	journal *journal.Journal
	engine  *Engine
	found   Recovered
}

// writeSim runs a test with a mount's writing side; limit is the spool's.
func writeSim(t *testing.T, limit int64, run func(t *testing.T, g *writeRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newWriteRig(t, limit)
		g.start()
		defer g.finish()
		run(t, g)
	})
}

// cachedSim is writeSim with a cache on disk; settle puts there what was read.
func cachedSim(t *testing.T, limit int64, run func(t *testing.T, g *writeRig)) {
	t.Helper()
	blocks := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newWriteRig(t, limit)
		g.blocks = blocks
		g.start()
		defer g.finish()
		run(t, g)
	})
}

// settle lets the tier write what it has.
func (g *writeRig) settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// newWriteRig makes the rig inside of a bubble; start has to follow.
func newWriteRig(t *testing.T, limit int64) *writeRig {
	g := &writeRig{t: t, server: s3test.New(), dir: t.TempDir(), limit: limit, part: writePart}
	g.bucket = s3test.Bucket(t, g.server)
	return g
}

func (g *writeRig) start() {
	g.t.Helper()
	var err error
	g.journal, err = journal.Open(journal.Options{
		Dir: g.dir, AllowVolatile: true, SpoolLimit: g.limit, Identity: journal.Identity{Endpoint: "e", Bucket: "b"},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	if g.blocks != "" {
		if g.tier, err = disk.Open(disk.Options{Dir: g.blocks, Identity: "b", Limit: 64 << 20}); err != nil {
			g.t.Fatal(err)
		}
	}
	g.budget, g.arena = mem.New(64<<20), mem.NewArena()
	g.fetcher = NewFetcher(FetchOptions{Bucket: g.bucket, Budget: g.budget, Arena: g.arena, Memory: 16 << 20, Disk: g.tier})
	g.engine = New(Options{
		Bucket: g.bucket, Fetcher: g.fetcher, Journal: g.journal, Settle: writeSettle, PartSize: g.part, Host: "here",
		SyncTimeout: time.Hour,
	})
	if g.found, err = g.engine.Recover(); err != nil {
		g.t.Errorf("recover: %v", err)
	}
	g.engine.Start()
}

// grow lets parts grow as users have them, also after a crash. Nothing may have been written
// before.
func (g *writeRig) grow() {
	g.part = 0
	g.engine.layout = plan.Layout{}
}

// transactions lets f decide over the journal's transactions from now on, one by one.
func (g *writeRig) transactions(f func(apply func() error) error) {
	var one sync.Mutex
	g.engine.mu.Lock()
	defer g.engine.mu.Unlock()
	g.engine.around = func(apply func() error) error {
		one.Lock()
		defer one.Unlock()
		return f(apply)
	}
}

// stop ends the engine; the journal keeps what is not published.
func (g *writeRig) stop() {
	g.engine.Close()
	g.fetcher.Close()
	if err := errors.Join(g.tier.Close(), g.journal.Close()); err != nil {
		g.t.Error(err)
	}
	if used := g.budget.Used(); used != 0 {
		g.t.Errorf("%d bytes still leased", used)
	}
	g.arena.Close()
}

func (g *writeRig) finish() {
	g.server.Fault(nil)
	g.stop()
	time.Sleep(time.Minute) // timers of retries and of the transport
}

// crash is a kill -9 and a new start: the new engine finds what was on the disk.
func (g *writeRig) crash() { g.crashWith(func(dir string) {}) }

// crashWith is crash on a machine whose disk changes something meanwhile.
func (g *writeRig) crashWith(harm func(dir string)) {
	g.t.Helper()
	g.kill(harm)
	g.server.Fault(nil)
	g.start()
}

// kill is the first half of a crash; start has to follow.
func (g *writeRig) kill(harm func(dir string)) {
	g.t.Helper()
	synctest.Wait()
	dir := g.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(g.dir)); err != nil {
		g.t.Fatal(err)
	}
	g.stop()
	harm(dir)
	g.dir = dir
}

func writeMeta() Meta { return Meta{Mode: ModeFile | 0o644, MtimeNS: now()} }

// create opens a new file for writing.
func (g *writeRig) create(key string) *File {
	g.t.Helper()
	f, err := g.engine.Create(key, nil, writeMeta())
	if err != nil {
		g.t.Fatal(err)
	}
	g.open(f)
	return f
}

// existing puts an object into the bucket and makes its File.
func (g *writeRig) existing(key string, data []byte) *File {
	etag := g.server.PutObject(key, data, http.Header{"X-Amz-Meta-Color": {"red"}})
	o := s3.Object{Key: key, ETag: etag, Size: int64(len(data)), LastModified: time.Now()}
	meta := writeMeta()
	meta.Foreign = map[string]string{"color": "red"}
	return g.engine.Open(o, meta)
}

func (g *writeRig) open(f *File) {
	g.t.Helper()
	if err := f.OpenHandle(true); err != nil {
		g.t.Fatal(err)
	}
}

func (g *writeRig) write(f *File, p []byte, off int64) {
	g.t.Helper()
	if n, err := f.WriteAt(context.Background(), p, off); n != len(p) || err != nil {
		g.t.Fatalf("write of %d at %d: %d, %v", len(p), off, n, err)
	}
}

// closeFile is what close(2) of a writer does: FUSE flush, then release.
func (g *writeRig) closeFile(f *File) {
	g.t.Helper()
	if err := f.Flush(context.Background()); err != nil {
		g.t.Fatalf("close: %v", err)
	}
	f.CloseHandle(true)
}

// put writes a whole new file and closes it.
func (g *writeRig) put(key string, data []byte) *File {
	g.t.Helper()
	f := g.create(key)
	g.write(f, data, 0)
	g.closeFile(f)
	return f
}

// wait returns when all that was closed is in the bucket, at most an hour later.
func (g *writeRig) wait() {
	g.t.Helper()
	for range 100 { // a file may be closed again while it is published
		ctx, stop := context.WithTimeout(context.Background(), time.Hour)
		err := g.engine.Wait(ctx, "")
		stop()
		if err != nil {
			g.t.Fatalf("wait: %v", err)
		}
		synctest.Wait()
		if len(g.engine.Pending()) == 0 {
			time.Sleep(time.Minute) // late deletions
			return
		}
	}
	g.t.Fatalf("still pending: %+v", g.engine.Status(""))
}

// has checks an object's bytes.
func (g *writeRig) has(key string, want []byte) {
	g.t.Helper()
	got, ok := g.server.Object(key)
	if !ok {
		g.t.Fatalf("%q is not in the bucket, which holds %q", key, g.server.Keys())
	}
	if i := writeDiff(got, want); i >= 0 {
		g.t.Fatalf("%q: %d bytes, want %d; they differ from %d on", key, len(got), len(want), i)
	}
}

// reads checks what the File itself shows.
func (g *writeRig) reads(f *File, want []byte) {
	g.t.Helper()
	if got := f.Size(); got != int64(len(want)) {
		g.t.Fatalf("size %d, want %d", got, len(want))
	}
	var got []byte
	for off := int64(0); off < int64(len(want)); {
		c, err := f.Read(context.Background(), off, min(len(want)-int(off), 1<<20))
		if err != nil {
			g.t.Fatalf("read at %d: %v", off, err)
		}
		p := make([]byte, c.Len())
		c.CopyTo(p)
		c.Release()
		if len(p) == 0 {
			break
		}
		got, off = append(got, p...), off+int64(len(p))
	}
	if i := writeDiff(got, want); i >= 0 {
		g.t.Fatalf("the file reads %d bytes, want %d; they differ from %d on", len(got), len(want), i)
	}
}

func writeDiff(got, want []byte) int {
	if bytes.Equal(got, want) {
		return -1
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return i
		}
	}
	return min(len(got), len(want))
}

// keys checks what the bucket holds, and that no upload is left in it.
func (g *writeRig) keys(want ...string) {
	g.t.Helper()
	if got := g.server.Keys(); fmt.Sprint(got) != fmt.Sprint(want) {
		g.t.Errorf("the bucket holds %q, want %q", got, want)
	}
	if up := g.server.Uploads(); len(up) > 0 {
		g.t.Errorf("unfinished uploads: %v", up)
	}
}

// idle checks that nothing waits, and that the journal is empty.
func (g *writeRig) idle() {
	g.t.Helper()
	if s := g.engine.Status(""); len(s) > 0 {
		g.t.Errorf("still pending: %+v", s)
	}
	r, err := g.journal.Records()
	r = slices.DeleteFunc(r, func(r journal.Record) bool { return r.NoContent && r.Creating != "" })
	if len(r) > 0 || err != nil {
		g.t.Errorf("records left: %+v, %v", r, err)
	}
}

// ops lists the operations that the bucket was asked for, and forgets them.
func (g *writeRig) ops() string {
	var out []string
	for _, r := range g.server.Requests() {
		out = append(out, r.Op)
	}
	g.server.ClearRequests()
	return strings.Join(out, " ")
}

// fault breaks the first n requests of an operation; n < 0: all.
func (g *writeRig) fault(op string, n int, f s3test.Fault) {
	var count atomic.Int64
	g.server.Fault(func(r *http.Request) *s3test.Fault {
		if s3test.Op(r) != op || n >= 0 && count.Add(1) > int64(n) {
			return nil
		}
		return &f
	})
}

// pattern is n bytes that differ with seed and offset.
func writePattern(seed byte, n int) []byte {
	p := make([]byte, n)
	s3test.Pattern{}.ReadAt(p, int64(seed)<<32)
	return p
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
