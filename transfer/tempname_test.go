package transfer

import (
	"strings"
	"testing"
	"testing/synctest"
)

func TestTemporaryNames(t *testing.T) {
	for _, name := range []string{
		".A001.mov.x9cVJe", "..hidden.0vW4ag", "movie.mp4.crdownload", "movie.mkv.PART", "clip.mov.5f3a.partial",
		"tmp_pack_x7Zq", ".tmp-render", ".goutputstream-A1B2C3", "lu1234.tmp",
	} {
		if !temporary.MatchString(name) {
			t.Errorf("%s is not taken for temporary", name)
		}
	}
	for _, name := range []string{
		"A001.mov", ".A001.mov", "clip.part1", "part", "tmp", "template.mov", ".DS_Store", "reel.mov.bak", "A.parting", "tempo.wav",
	} {
		if temporary.MatchString(name) {
			t.Errorf("%s is taken for temporary", name)
		}
	}
}

// TestTemporaryNameWaits: a copy of rsync's is uploaded under its last name, with the time
// that it was given: the server copies nothing.
func TestTemporaryNameWaits(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 40<<20)
		f := g.create("d/.A001.mov.x9cVJe")
		for off := 0; off < len(data); off += 1 << 20 {
			g.write(f, data[off:off+1<<20], int64(off))
		}
		check(t, f.SetMeta(func(m *Meta) { m.MtimeNS = 1e18 }))
		g.closeFile(f)
		g.rename(f, "d/A001.mov")
		g.wait()
		g.has("d/A001.mov", data)
		g.keys("d/A001.mov")
		if ops := g.ops(); strings.Count(ops, "UploadPart") != 8 || len(strings.Fields(ops)) != 8+2 {
			t.Errorf("requests: %s", ops)
		}
		g.idle()
	})
}

// TestTemporaryNameOfALargeFile: what is large uploads while it is written, whatever its name.
func TestTemporaryNameOfALargeFile(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create(".A001.mov.x9cVJe")
		mib := writePattern(1, 1<<20)
		for off := range int64(temporaryFrom>>20 + 1) {
			if strings.Contains(g.ops(), "CreateUpload") {
				t.Fatalf("uploads at %d MiB", off)
			}
			g.write(f, mib, off<<20)
		}
		synctest.Wait()
		if !strings.Contains(g.ops(), "UploadPart") {
			t.Errorf("requests while it is written: %s", g.ops())
		}
		g.closeFile(f)
		g.wait()
		g.idle()
	})
}

// TestTemporaryNamesInASmallSpool: files that wait for their names do not fill the spool up.
func TestTemporaryNamesInASmallSpool(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		a, b := g.create(".a.mov.x9cVJe"), g.create(".b.mov.x9cVJf")
		one, two := writePattern(1, 40<<20), writePattern(2, 40<<20)
		for off := 0; off < len(one); off += 1 << 20 {
			g.write(a, one[off:off+1<<20], int64(off))
			g.write(b, two[off:off+1<<20], int64(off))
		}
		g.closeFile(a)
		g.closeFile(b)
		g.rename(a, "a.mov")
		g.rename(b, "b.mov")
		g.wait()
		g.has("a.mov", one)
		g.has("b.mov", two)
		g.keys("a.mov", "b.mov")
		g.idle()
	})
}
