package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
)

// The journal has the bytes of a small version as long as the record has their checksums.
// A merge takes these away, so the spool file has to be durable before: a power loss in the
// middle must not leave a version that nothing can tell from a whole one.
func TestMergeOfSmallVersionsSyncsFirst(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.put("k", []byte("version"))
		g.open(f)
		g.write(f, []byte("VER"), 0)
		g.closeFile(f)
		id := f.chain[0].id
		mend := breakDisk(t, filepath.Join(g.dir, "spool", id))
		after(2 * writeSettle)
		mend()
		dir := t.TempDir()
		check(t, os.CopyFS(dir, os.DirFS(g.dir)))
		check(t, os.Truncate(filepath.Join(dir, "spool", id), 0)) // no sync of it ever succeeded
		check(t, f.Drop())
		g.stop()
		g.keys()
		g.dir = dir
		g.start()
		g.wait()
		g.has("k", []byte("VERsion"))
		g.idle()
	})
}

// What a failed unlink puts back are records without the bytes.
func TestFailedUnlinkSyncsSmallVersions(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.server.PutObject("k", []byte("old"), nil)
		f := g.existing("k", []byte("old"))
		g.open(f)
		g.write(f, []byte("newer"), 0)
		g.closeFile(f)
		spool := f.chain[0].spool
		g.fault("DeleteObject", -1, s3test.Fault{Status: 403, Code: "AccessDenied"})
		mend := breakDisk(t, filepath.Join(g.dir, "spool", f.chain[0].id))
		_, err := g.engine.Remove(context.Background(), f)
		mend()
		if !errors.Is(err, s3.ErrDenied) {
			t.Errorf("unlink: %v", err)
		}
		if err := spool.Sync(); err == nil { // a sync that failed is kept
			t.Error("nothing tried to sync the spool file")
		}
		g.server.Fault(nil)
		check(t, f.Drop())
	})
}
