package transfer

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/cache/disk"
	"s3mount/internal/mem"
	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// diskRig is a fetchRig with a tier on disk that can be mounted again.
type diskRig struct {
	fetchRig
	dir  string
	tier *disk.Tier
}

func diskSim(t *testing.T, size int64, run func(t *testing.T, g *diskRig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := &diskRig{dir: dir}
		g.t, g.server = t, s3test.New()
		g.server.SetLink(s3test.Link{RTT: fetchTestTrip, Down: fetchTestConn, SharedDown: fetchTestLink})
		g.object = s3.Object{Key: "clip.bin", Size: size}
		g.object.ETag = g.server.PutPattern(g.object.Key, size)
		g.start()
		run(t, g)
		g.end()
	})
}

func (g *diskRig) start() {
	var err error
	g.tier, err = disk.Open(disk.Options{Dir: g.dir, Identity: "bucket", Limit: 256 << 20})
	if err != nil {
		g.t.Fatal(err)
	}
	g.budget, g.arena = mem.New(64<<20), mem.NewArena()
	g.fetcher = NewFetcher(FetchOptions{
		Bucket: s3test.Bucket(g.t, g.server), Budget: g.budget, Arena: g.arena, Disk: g.tier,
	})
	g.remote = NewRemote(ContentIDOf(g.object), g.object)
}

func (g *diskRig) end() {
	g.t.Helper()
	g.fetcher.Close()
	if err := g.tier.Close(); err != nil {
		g.t.Error(err)
	}
	g.close()
}

// settle lets the tier write what it has.
func (g *diskRig) settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func (g *diskRig) restart() {
	g.t.Helper()
	g.end()
	g.start()
	g.server.ClearRequests()
}

// readAll reads the whole object in steps, and compares each byte.
func (g *diskRig) readAll(step int64) {
	g.t.Helper()
	r := g.fetcher.NewReader(g.remote)
	defer r.Close()
	for off := int64(0); off < g.object.Size; off += step {
		g.check(r, off, int(min(step, g.object.Size-off)))
		g.settleNow()
	}
}

// settleNow gives the writer its turn, so that nothing is left out.
func (g *diskRig) settleNow() { time.Sleep(30 * time.Millisecond) }

// TestDiskNoRequestAfterRestart: what was read once is read from disk by the next mount.
func TestDiskNoRequestAfterRestart(t *testing.T) {
	diskSim(t, 40<<20+4321, func(t *testing.T, g *diskRig) {
		g.readAll(1 << 20)
		g.settle()
		if d := g.tier.Stats().Dropped; d != 0 {
			t.Fatalf("%d blocks were left out", d)
		}
		g.restart()
		g.readAll(1 << 20)
		if n := len(g.server.Requests()); n != 0 {
			t.Errorf("%d requests for what is on disk", n)
		}
		if s := g.fetcher.Stats(); s.Fetched != 0 || s.Loaded < g.object.Size {
			t.Errorf("fetched %d bytes, loaded %d, of %d", s.Fetched, s.Loaded, g.object.Size)
		}
	})
}

// TestDiskFetchesTheGapsOnly: of a file that lies on disk in pieces, the others are fetched, and
// no byte of the pieces.
func TestDiskFetchesTheGapsOnly(t *testing.T) {
	diskSim(t, 24<<20, func(t *testing.T, g *diskRig) {
		g.readAll(1 << 20)
		g.settle()
		// Keep blocks 0-9, 20-29, ...
		kept := int64(0)
		id := disk.ID(ContentIDOf(g.object))
		buf := make([]byte, mem.BlockSize)
		type block struct {
			i int64
			p []byte
		}
		var keep []block
		for i := range g.object.Size / mem.BlockSize {
			if i/10%2 == 0 && g.tier.Read(id, i, buf) {
				keep = append(keep, block{i, append([]byte(nil), buf...)})
			}
		}
		g.tier.Evict(id, 0, 1<<20)
		for _, b := range keep {
			if g.tier.Write(id, b.i, b.p) {
				kept += mem.BlockSize
			}
		}
		g.restart()
		g.readAll(1 << 20)
		missing := g.object.Size - kept
		if s := g.fetcher.Stats(); s.Fetched != missing || kept < 11<<20 {
			t.Errorf("fetched %d bytes, %d were missing (%d kept)", s.Fetched, missing, kept)
		}
	})
}

// TestDiskKeepsTheWorkingSet reads a file twice, then one that is larger than the cache on disk,
// and publishes as much: no byte of the first is fetched again.
func TestDiskKeepsTheWorkingSet(t *testing.T) {
	const export = 384 << 20
	diskSim(t, 20<<20, func(t *testing.T, g *diskRig) {
		working, remote := g.object, g.remote
		for range 2 {
			g.readAll(1 << 20)
			g.settle()
		}
		g.object = s3.Object{Key: "export.bin", Size: export, ETag: g.server.PutPattern("export.bin", export)}
		g.remote = NewRemote(ContentIDOf(g.object), g.object)
		g.readAll(8 << 20)
		for i := range int64(8) {
			o := s3.Object{Key: "render", ETag: strconv.FormatInt(i, 10), Size: export / 8}
			g.fetcher.Keep(NewRemote(ContentIDOf(o), o), func(p []byte, off int64) bool { return true })
			time.Sleep(2 * keepQuiet)
		}
		if n := g.tier.Stats().Evicted; n < export/mem.BlockSize {
			t.Fatalf("%d blocks were given up: nothing was tried", n)
		}
		g.object, g.remote = working, remote
		before := g.fetcher.Stats().Fetched
		g.readAll(1 << 20)
		if n := g.fetcher.Stats().Fetched - before; n != 0 {
			t.Errorf("%d bytes of what was read twice were fetched again", n)
		}
	})
}

// TestDiskChangedObject: blocks of an old version are never those of a new one.
func TestDiskChangedObject(t *testing.T) {
	diskSim(t, 4<<20, func(t *testing.T, g *diskRig) {
		g.readAll(1 << 20)
		g.settle()
		g.object.Size++
		g.object.ETag = g.server.PutPattern(g.object.Key, g.object.Size)
		g.restart()
		g.readAll(1 << 20)
		if s := g.fetcher.Stats(); s.Loaded != 0 || s.Fetched != g.object.Size {
			t.Errorf("loaded %d bytes, fetched %d of %d", s.Loaded, s.Fetched, g.object.Size)
		}
	})
}

// TestKeepWaitsForQuiet: what was published goes to disk when nothing was published for
// a while, as far as its bytes are on local disk, and at once at the end of a mount.
func TestKeepWaitsForQuiet(t *testing.T) {
	diskSim(t, 3*mem.BlockSize+10, func(t *testing.T, g *diskRig) {
		id := disk.ID(ContentIDOf(g.object))
		local := func(p []byte, off int64) bool {
			for i := range p {
				p[i] = fetchPattern(off + int64(i))
			}
			return off != mem.BlockSize // the second block is not there
		}
		g.fetcher.Keep(g.remote, local)
		time.Sleep(keepQuiet / 2)
		synctest.Wait()
		if run, there := g.tier.Run(id, 0, 1); there {
			t.Errorf("%d blocks before it was quiet", run)
		}
		time.Sleep(keepQuiet)
		synctest.Wait()
		for i, want := range []bool{true, false, true, true} {
			if _, there := g.tier.Run(id, int64(i), 1); there != want {
				t.Errorf("block %d is there: %v, want %v", i, there, want)
			}
		}
		g.readAll(mem.BlockSize)
		if s := g.fetcher.Stats(); s.Fetched != mem.BlockSize {
			t.Errorf("fetched %d bytes, want one block", s.Fetched)
		}
		g.tier.Evict(id, 0, 4)
		g.fetcher.Keep(g.remote, local)
		g.fetcher.KeepNow()
		if run, there := g.tier.Run(id, 2, 2); !there || run != 2 {
			t.Error("not there at the end of the mount")
		}
	})
}

// TestKeepHalfAtMost publishes more small files than the cache on disk has room for: the
// newest take half of it, and no more wait.
func TestKeepHalfAtMost(t *testing.T) {
	diskSim(t, 100, func(t *testing.T, g *diskRig) {
		most := int(g.tier.Capacity() / mem.BlockSize / 2)
		var newest *Remote
		for i := range 5 * most {
			newest = NewRemote(ContentIDOf(s3.Object{Key: "note", ETag: strconv.Itoa(i), Size: 100}), g.object)
			g.fetcher.Keep(newest, func(p []byte, off int64) bool { return true })
			if n := len(g.fetcher.keeper.queue); n > most {
				t.Fatalf("%d files wait, want %d at most", n, most)
			}
		}
		g.fetcher.KeepNow()
		if n := g.tier.Stats().Blocks; n != int64(most) {
			t.Errorf("%d blocks are kept, want %d", n, most)
		}
		if _, there := g.tier.Run(disk.ID(newest.id), 0, 1); !there {
			t.Error("the newest is not kept")
		}
	})
}

// TestContentID tells versions apart, and not the ways in which an ETag is written.
func TestContentID(t *testing.T) {
	o := s3.Object{Key: "a", ETag: `"1"`, Size: 5}
	same, other := o, []s3.Object{o, o, o}
	same.ETag = "1"
	if ContentIDOf(o) != ContentIDOf(same) {
		t.Error("quotes matter")
	}
	other[0].Key, other[1].ETag, other[2].Size = "b", `"2"`, 6
	for i, x := range other {
		if ContentIDOf(o) == ContentIDOf(x) {
			t.Errorf("%d: two versions have one ID", i)
		}
	}
	o.ETag = ""
	if first, second := ContentIDOf(o), ContentIDOf(o); first == second {
		t.Error("what has no ETag is found again")
	}
}

// TestDiskKeepsBlocksOfACopiedObject copies an object on the server, twice, as renames do:
// its blocks are found under the last name after a restart.
func TestDiskKeepsBlocksOfACopiedObject(t *testing.T) {
	diskSim(t, 5*mem.BlockSize+10, func(t *testing.T, g *diskRig) {
		g.readAll(mem.BlockSize)
		g.settle()
		for _, key := range []string{"second.bin", "third.bin"} {
			o := g.rename(key)
			g.fetcher.sameBytes(g.object, o.Key, o.ETag)
			g.object = o
			g.restart()
		}
		g.readAll(mem.BlockSize)
		if s := g.fetcher.Stats(); s.Fetched != 0 || s.Loaded != g.object.Size {
			t.Errorf("%d bytes were fetched, %d found on disk, want %d", s.Fetched, s.Loaded, g.object.Size)
		}
		other := s3.Object{Key: "fourth.bin", Size: g.object.Size, ETag: g.server.PutPattern("fourth.bin", g.object.Size)}
		if _, there := g.tier.Run(disk.ID(ContentIDOf(other)), 0, 1); there {
			t.Error("an object that is no copy has blocks")
		}
	})
}
