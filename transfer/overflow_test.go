package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

const overflowLimit = 48 << 20

// overflow writes a file that is larger than the spool, in pieces of a megabyte.
func (g *writeRig) overflow(f *File, data []byte) {
	g.t.Helper()
	for off := 0; off < len(data); off += 1 << 20 {
		g.write(f, data[off:min(off+1<<20, len(data))], int64(off))
		if used := g.journal.Spool.Used(); used > g.limit {
			g.t.Fatalf("the spool holds %d bytes, its limit is %d", used, g.limit)
		}
	}
}

func TestFileLargerThanTheSpool(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		g.server.SetLink(s3test.Link{RTT: 20 * time.Millisecond, SharedUp: 100 << 20})
		data := writePattern(1, 150<<20)
		f := g.create("big")
		g.overflow(f, data)
		head := writePattern(2, 4096)
		g.write(f, head, 100) // as a muxer does
		copy(data[100:], head)
		if _, err := f.Read(context.Background(), 10<<20, 4096); !errors.Is(err, ErrOverflowed) {
			t.Errorf("a read of what has left the spool: %v", err)
		}
		if _, err := f.WriteAt(context.Background(), head, 10<<20); !errors.Is(err, ErrSpoolFull) {
			t.Errorf("a write to what has left the spool: %v", err)
		}
		if err := f.Truncate(context.Background(), 12<<20); !errors.Is(err, ErrSpoolFull) {
			t.Errorf("a cut through what has left the spool: %v", err)
		}
		g.closeFile(f)
		g.has("big", data) // when close returns
		g.reads(f, data)
		g.wait()
		g.idle()
		g.keys("big")
	})
}

// TestOverflowAfterAFlush: a shell closes a duplicate of the descriptor before the
// first byte is written.
func TestOverflowAfterAFlush(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		f := g.create("big")
		if err := f.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		data := writePattern(3, 100<<20)
		g.overflow(f, data)
		g.closeFile(f)
		g.has("big", data)
		g.wait()
		g.idle()
	})
}

func TestOverflowOfALostUpload(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		f := g.create("big")
		g.overflow(f, writePattern(4, 100<<20))
		g.server.DropUploads()
		if err := f.Flush(context.Background()); !errors.Is(err, ErrUploadLost) {
			t.Errorf("close after the bucket lost the upload: %v", err)
		}
		f.CloseHandle(true)
		time.Sleep(time.Hour)
		g.keys() // and nothing with zeros in it is ever published
		if _, err := g.engine.Cancel(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOverflowOffline(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		f := g.create("big")
		g.overflow(f, writePattern(5, 60<<20))
		g.fault("UploadPart", -1, s3test.Fault{Status: 503, Code: "SlowDown"})
		var err error
		start := time.Now()
		for off := int64(60 << 20); err == nil && off < 200<<20; off += 1 << 20 {
			_, err = f.WriteAt(context.Background(), make([]byte, 1<<20), off)
		}
		if took := time.Since(start); !errors.Is(err, ErrSpoolFull) || took < stalled || took > 2*stalled {
			t.Errorf("write without the bucket: %v after %v", err, took)
		}
		if _, err := g.engine.Remove(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		f.CloseHandle(true)
		f.Forget()
	})
}

// TestCrashWhileOverflowing: the file was not closed, and nothing of it stays.
func TestCrashWhileOverflowing(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		f := g.create("big")
		g.overflow(f, writePattern(6, 100<<20))
		g.crash()
		if len(g.found.Unfinished) != 1 || g.found.Unfinished[0] != "big" {
			t.Errorf("unfinished: %q", g.found.Unfinished)
		}
		g.wait()
		g.idle()
		g.keys()
	})
}

// TestSaveGivesWayToWrites: a write that waits for room needs what a save holds, to
// let parts leave the spool.
func TestSaveGivesWayToWrites(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.write(f, writePattern(7, 1<<20), 0)
		f.mu.Lock()
		c := f.head()
		c.inflight++ // a write that waits for room
		f.mu.Unlock()
		saved := make(chan error, 1)
		go func() { saved <- f.save(c) }()
		synctest.Wait()
		if !f.saving.TryLock() {
			t.Error("a save keeps a write from freeing room, and waits for it")
		} else {
			f.saving.Unlock()
		}
		f.mu.Lock()
		c.inflight--
		f.cond.Broadcast()
		f.mu.Unlock()
		if err := <-saved; err != nil {
			t.Fatal(err)
		}
		g.closeFile(f)
		g.wait()
		g.keys("k")
	})
}

// TestFlushedFileStaysHere: what a close has made safe does not leave the spool for
// the bytes of others.
func TestFlushedFileStaysHere(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		data := writePattern(8, 40<<20)
		g.write(f, data, 0)
		time.Sleep(time.Minute) // parts are in the bucket
		if err := f.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if f.overflow() {
			t.Error("parts of a file that was closed left the spool")
		}
		g.crash() // before the release that follows the flush
		g.wait()
		g.has("k", data)
		g.idle()
	})
}

// TestCancelWhileOverflowing: the writer gets an error, and nothing of the file stays,
// though it is still open.
func TestCancelWhileOverflowing(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		for _, crash := range []bool{false, true} {
			writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
				f := g.create("big")
				g.write(f, writePattern(1, 20<<20), 0)
				if _, err := g.engine.Cancel(context.Background(), f); !errors.Is(err, ErrBusy) {
					t.Fatalf("cancel of what its close makes safe: %v", err)
				}
				g.overflow(f, writePattern(1, 100<<20))
				if st := g.engine.Status("big"); len(st) != 1 || !st[0].Overflowed || !st[0].Open || st[0].State != StateWriting {
					t.Errorf("status: %+v", st)
				}
				failed := make(chan error, 1)
				if blocked {
					g.fault("UploadPart", -1, s3test.Fault{Status: 503, Code: "SlowDown"})
				}
				go func() {
					var err error
					for off := int64(100 << 20); err == nil && blocked; off += 1 << 20 {
						_, err = f.WriteAt(context.Background(), make([]byte, 1<<20), off)
					}
					failed <- err
				}()
				after(stalled / 2)
				g.cancel(f)
				g.server.Fault(nil)
				if err := <-failed; blocked && !errors.Is(err, ErrCancelled) {
					t.Errorf("the write that waits for room: %v", err)
				}
				g.nothingHeld()
				if crash {
					g.crash()
					if len(g.found.Files)+len(g.found.Unfinished) != 0 {
						t.Errorf("found %+v", g.found)
					}
				} else {
					if _, err := f.WriteAt(context.Background(), []byte("x"), 0); !errors.Is(err, ErrCancelled) {
						t.Errorf("write: %v", err)
					}
					if err := f.Truncate(context.Background(), 0); !errors.Is(err, ErrCancelled) {
						t.Errorf("truncate: %v", err)
					}
					if err := f.Sync(context.Background()); !errors.Is(err, ErrCancelled) {
						t.Errorf("fsync: %v", err)
					}
					if err := f.Flush(context.Background()); !errors.Is(err, ErrCancelled) {
						t.Errorf("close: %v", err)
					}
					f.CloseHandle(true)
					f.Forget()
				}
				g.wait()
				g.keys()
				g.idle()
				g.nothingHeld()
			})
		}
	}
}

// TestCancelOfACloseThatWaits for the bucket, since the file has overflowed.
func TestCancelOfACloseThatWaits(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		f := g.create("big")
		g.overflow(f, writePattern(1, 100<<20))
		g.fault("UploadPart", -1, s3test.Fault{Status: 503, Code: "SlowDown"})
		closed := make(chan error, 1)
		go func() { closed <- f.Flush(context.Background()) }()
		after(time.Minute)
		if n := g.engine.Retry("big"); n != 1 {
			t.Errorf("retry: %d files", n)
		}
		g.cancel(f)
		if err := <-closed; !errors.Is(err, ErrCancelled) {
			t.Errorf("close: %v", err)
		}
		f.CloseHandle(true)
		f.Forget()
		g.server.Fault(nil)
		g.wait()
		g.keys()
		g.idle()
		g.nothingHeld()
	})
}

// TestRetryOfWhatIsBeingWritten sends at once the parts that wait for their next try.
func TestRetryOfWhatIsBeingWritten(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		f := g.create("k")
		g.fault("UploadPart", -1, s3test.Fault{Status: 503, Code: "SlowDown"})
		data := writePattern(1, 40<<20)
		g.write(f, data, 0)
		after(10 * time.Minute)
		if n := g.engine.Retry("k"); n != 1 {
			t.Errorf("retry: %d files", n)
		}
		g.server.Fault(nil)
		g.closeFile(f)
		g.wait()
		g.has("k", data)
		if n := g.engine.Retry("k"); n != 0 {
			t.Errorf("retry of what is in the bucket: %d files", n)
		}
	})
}

// A close is safe only when what it builds on is: the version below has overflowed, and
// is still on its way.
func TestCloseAboveAnOverflowedVersion(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		g.server.SetLink(s3test.Link{RTT: 20 * time.Millisecond, SharedUp: 10 << 20})
		data := writePattern(9, 80<<20)
		f := g.create("big")
		g.overflow(f, data)
		synced := make(chan error, 1)
		go func() { synced <- f.Sync(context.Background()) }()
		synctest.Wait() // it waits for the bucket
		g.write(f, []byte("patched"), 0)
		copy(data, "patched")
		g.closeFile(f)
		g.has("big", data) // when close returns
		check(t, <-synced)
		g.wait()
		g.idle()
	})
}

// What has left the spool was cut off again: nothing keeps the rest from the journal.
func TestOverflowedFileIsCut(t *testing.T) {
	for _, size := range []int64{0, 1 << 20} {
		writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
			data := writePattern(10, 80<<20)
			f := g.create("big")
			g.overflow(f, data)
			check(t, f.Truncate(context.Background(), 0))
			g.write(f, data[:size], 0)
			g.server.DropUploads()
			g.closeFile(f)
			g.crash()
			g.wait()
			g.has("big", data[:size])
			g.keys("big")
			g.idle()
		})
	}
}

// Two closed versions that the spool has no room to fold go one after the other.
func TestFoldWithoutRoom(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		data := writePattern(11, 44<<20)
		g.failing(func(op, part string) bool { return true })
		f := g.create("k")
		g.write(f, data[:14<<20], 0)
		g.closeFile(f)
		g.open(f)
		g.write(f, data[14<<20:], 14<<20)
		g.closeFile(f)
		g.server.Fault(nil)
		time.Sleep(time.Hour)
		g.has("k", data)
		g.idle()
		g.keys("k")
	})
}

// Writes that wait for room do not make a file that cannot be sent be tried without a pause.
func TestFullSpoolKeepsThePausesOfOthers(t *testing.T) {
	writeSim(t, overflowLimit, func(t *testing.T, g *writeRig) {
		g.server.SetLink(s3test.Link{RTT: 20 * time.Millisecond, SharedUp: 10 << 20})
		g.fault("PutObject", -1, s3test.Fault{Status: 403, Code: "AccessDenied"})
		g.put("denied", []byte("data"))
		f := g.create("big")
		g.overflow(f, writePattern(16, 200<<20))
		if n := g.server.Count("PutObject"); n < 3 || n > 8 {
			t.Errorf("it was tried %d times in about 20 s", n)
		}
		if st := g.engine.Status("denied"); len(st) != 1 || st[0].Err == nil {
			t.Errorf("status: %+v", st)
		}
		g.server.Fault(nil)
		g.closeFile(f)
		g.wait()
		g.keys("big", "denied")
		g.idle()
	})
}
