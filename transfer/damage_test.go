package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"s3mount/transfer/journal"
)

// harmSpool changes the only spool file, or the one whose size is given.
func harmSpool(t *testing.T, size int64, change func(path string) error) func(dir string) {
	return func(dir string) {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(dir, "spool", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range list {
			if info, err := os.Stat(path); err == nil && (size < 0 || info.Size() == size) {
				if err := change(path); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
		t.Fatalf("no spool file of %d bytes in %v", size, list)
	}
}

func flipByte(off int64) func(path string) error {
	return func(path string) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, off); err != nil {
			return err
		}
		b[0]++
		_, err = f.WriteAt(b, off)
		return errors.Join(err, f.Close())
	}
}

// What the disk lost or changed is never published: it is set aside and named.
func TestDamagedSpoolIsSetAside(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"byte at the start": flipByte(0),
		"byte at the end":   flipByte(20<<20 - 1),
		"shorter":           func(path string) error { return os.Truncate(path, 19<<20) },
		"gone":              os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				g.failing(func(op, part string) bool { return op == "CompleteMultipartUpload" || op == "PutObject" })
				g.put("bad", writePattern(1, 20<<20))
				g.put("good", []byte("good"))
				after(10 * time.Second)
				g.crashWith(harmSpool(t, 20<<20, harm))
				if len(g.found.Damaged) != 1 || g.found.Damaged[0].Key != "bad" || !errors.Is(g.found.Damaged[0].Err, journal.ErrDamaged) {
					t.Fatalf("damaged: %+v", g.found.Damaged)
				}
				if name != "gone" {
					if _, err := os.Stat(g.found.Damaged[0].Path); err != nil {
						t.Error(err)
					}
				}
				if _, err := os.Stat(g.found.Damaged[0].Path + ".json"); err != nil {
					t.Error(err)
				}
				if got := g.engine.LostUploads(); len(got) != 1 || got[0] != "bad" {
					t.Errorf("uploads may be left at %q", got)
				}
				g.wait()
				if got := g.server.Keys(); len(got) != 1 || got[0] != "good" {
					t.Errorf("the bucket holds %q", got)
				}
				g.idle()
			})
		})
	}
}

// What builds on a damaged version goes with it; an older version that is whole is
// published.
func TestDamagedVersions(t *testing.T) {
	for _, tt := range []struct {
		size int64 // of the spool file that is damaged
		left string
		bad  int
	}{{7, "", 2}, {3, "version", 1}} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.failing(func(op, part string) bool { return true })
			f := g.put("k", []byte("version"))
			after(10 * time.Second)
			g.open(f)
			g.write(f, []byte("VER"), 0)
			g.closeFile(f)
			g.crashWith(harmSpool(t, tt.size, flipByte(1)))
			if len(g.found.Damaged) != tt.bad {
				t.Fatalf("damaged: %+v", g.found.Damaged)
			}
			g.wait()
			if tt.left == "" {
				g.keys()
			} else {
				g.has("k", []byte(tt.left))
			}
			g.idle()
		})
	}
}

// Bytes that are written after a descriptor was closed, while another one is open,
// are no damage.
func TestRewriteAfterAFlushIsNoDamage(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, g *writeRig, f *File){
		"write":    func(t *testing.T, g *writeRig, f *File) { g.write(f, []byte("XX"), 2) },
		"append":   func(t *testing.T, g *writeRig, f *File) { g.write(f, []byte("XX"), 6) },
		"truncate": func(t *testing.T, g *writeRig, f *File) { check(t, f.Truncate(context.Background(), 3)) },
		"punch":    func(t *testing.T, g *writeRig, f *File) { check(t, f.PunchHole(context.Background(), 1, 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				f := g.create("k")
				g.write(f, []byte("012345"), 0)
				check(t, f.Flush(context.Background()))
				write(t, g, f)
				g.crash()
				if len(g.found.Damaged) != 0 || len(g.found.Files) != 1 {
					t.Errorf("found %+v", g.found)
				}
				g.wait()
				g.idle()
			})
		})
	}
}

// The bytes that were written after a flush are sealed by the last close.
func TestRewrittenBytesAreSealedByTheClose(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, []byte("012345"), 0)
		check(t, f.Flush(context.Background()))
		g.write(f, []byte("XX"), 2)
		g.closeFile(f)
		g.crashWith(harmSpool(t, -1, flipByte(2)))
		if len(g.found.Damaged) != 1 {
			t.Errorf("found %+v", g.found)
		}
		g.wait()
		g.keys()
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
