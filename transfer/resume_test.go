package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"s3mount/internal/s3"
	"s3mount/internal/s3/s3test"
	"s3mount/transfer/journal"
)

// sentParts is the part numbers that were sent, and how many were copied.
func (g *writeRig) sentParts() (sent []string, copied int) {
	for _, r := range g.server.Requests() {
		switch r.Op {
		case "UploadPart":
			sent = append(sent, r.Query.Get("partNumber"))
		case "UploadPartCopy":
			copied++
		}
	}
	g.server.ClearRequests()
	return sent, copied
}

// failing answers nothing to the requests that the function picks.
func (g *writeRig) failing(pick func(op, part string) bool) {
	g.server.Fault(func(r *http.Request) *s3test.Fault {
		if pick(s3test.Op(r), r.URL.Query().Get("partNumber")) {
			return &s3test.Fault{Drop: true}
		}
		return nil
	})
}

func TestResumeSendsWhatIsMissing(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.failing(func(op, part string) bool { return op == "UploadPart" && part == "4" })
		data := writePattern(1, 27<<20)
		g.put("k", data)
		after(10 * time.Second)
		g.crash()
		g.server.ClearRequests()
		g.wait()
		g.has("k", data)
		if sent, _ := g.sentParts(); len(sent) != 1 || sent[0] != "4" {
			t.Errorf("sent parts %v, want 4 alone", sent)
		}
		g.keys("k")
		g.idle()
	})
}

// An earlier version knew CRC64NVME alone: its upload and its record have nothing else. What
// is missing goes with that, and other files with what the store knows best.
func TestResumeOfAnEarlierVersion(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.server.SetSums(s3test.RefuseCRC32C)
		g.failing(func(op, part string) bool { return op == "UploadPart" && part == "4" })
		data := writePattern(1, 27<<20)
		g.put("k", data)
		after(10 * time.Second)
		g.kill(dropCRC32C(t))
		g.server.SetSums(s3test.AllSums)
		g.bucket = s3test.Bucket(t, g.server)
		g.server.ClearRequests()
		g.server.Fault(func(r *http.Request) *s3test.Fault {
			if op := s3test.Op(r); op == "CompleteMultipartUpload" && r.Header.Get("X-Amz-Checksum-Crc64nvme") != s3test.SumOf("CRC64NVME", data) {
				t.Error("the upload is completed without its checksum")
			} else if op == "PutObject" && r.Header.Get("X-Amz-Checksum-Crc32c") == "" {
				t.Error("another file goes without CRC32C")
			}
			return nil
		})
		g.start()
		g.wait()
		g.has("k", data)
		if sent, _ := g.sentParts(); len(sent) != 1 || sent[0] != "4" {
			t.Errorf("sent parts %v, want 4 alone", sent)
		}
		g.put("other", data[:1000])
		g.wait()
		g.keys("k", "other")
		g.idle()
	})
}

// dropCRC32C leaves the records of a journal with CRC64NVME alone.
func dropCRC32C(t *testing.T) func(dir string) {
	return func(dir string) {
		t.Helper()
		j, err := journal.Open(journal.Options{Dir: dir, AllowVolatile: true, SpoolLimit: 1 << 30, Identity: journal.Identity{Endpoint: "e", Bucket: "b"}})
		if err != nil {
			t.Fatal(err)
		}
		records, err := j.Records()
		for i := range records {
			records[i].Sums.CRC32C = nil // there are some: the file is closed
		}
		if err = errors.Join(err, j.Apply(records), j.Close()); err != nil || len(records) == 0 {
			t.Fatal(len(records), "records", err)
		}
	}
}

func TestResumeOfALostUpload(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.failing(func(op, part string) bool { return op == "CompleteMultipartUpload" })
		data := writePattern(1, 27<<20)
		g.put("k", data)
		after(10 * time.Second)
		g.crash()
		g.server.DropUploads()
		g.wait()
		g.has("k", data)
		g.keys("k")
		g.idle()
	})
}

// Who may not list the parts of an upload sends all of them again. What cannot be aborted
// either is remembered.
func TestResumeWithoutTheRightToList(t *testing.T) {
	for _, abort := range []string{"allowed", "denied"} {
		writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
			g.failing(func(op, part string) bool { return op == "UploadPart" && part == "4" })
			data := writePattern(1, 27<<20)
			g.put("k", data)
			after(10 * time.Second)
			g.kill(func(string) {})
			g.server.Fault(func(r *http.Request) *s3test.Fault {
				if op := s3test.Op(r); op == "ListParts" || op == "AbortMultipartUpload" && abort == "denied" {
					return &s3test.Fault{Status: 403, Code: "AccessDenied"}
				}
				return nil
			})
			g.start()
			g.wait()
			g.has("k", data)
			lost := fmt.Sprint(g.engine.LostUploads())
			if left := g.server.Uploads(); abort == "allowed" && (lost != "[]" || len(left) > 0) || abort == "denied" && lost != "[k]" {
				t.Errorf("abort %s: lost uploads %s, left %v", abort, lost, left)
			}
			g.idle()
		})
	}
}

// A part that differs from the spool is sent again, whatever its number and size.
func TestResumeSendsWhatDiffers(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.failing(func(op, part string) bool { return op == "CompleteMultipartUpload" })
		data := writePattern(1, 27<<20)
		f := g.create("k")
		g.write(f, data, 0)
		after(10 * time.Second) // parts 2 to 5 are sent
		data[12<<20]++
		g.write(f, data[12<<20:12<<20+1], 12<<20)
		g.failing(func(op, part string) bool { return op == "UploadPart" || op == "CompleteMultipartUpload" })
		g.closeFile(f)
		after(10 * time.Second)
		g.crash()
		g.server.ClearRequests()
		g.wait()
		g.has("k", data)
		if sent, _ := g.sentParts(); len(sent) != 3 {
			t.Errorf("sent parts %v, want the head, the changed one and the tail", sent)
		}
		g.keys("k")
		g.idle()
	})
}

// What was renamed or got other metadata after the upload began is completed, then
// copied, also by the next process.
func TestResumeUnderAnotherName(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.failing(func(op, part string) bool { return op == "CompleteMultipartUpload" })
		data := writePattern(1, 27<<20)
		f := g.create("old")
		g.write(f, data, 0)
		after(10 * time.Second)
		g.closeFile(f)
		if err := f.Rename("new", nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.SetMeta(func(m *Meta) { m.Mode = ModeFile | 0o600 }); err != nil {
			t.Fatal(err)
		}
		after(10 * time.Second)
		g.crash()
		g.server.ClearRequests()
		g.wait()
		g.has("new", data)
		if got := g.server.Header("new").Get("X-Amz-Meta-Mode"); got != "33152" {
			t.Errorf("mode %s, want 33152", got)
		}
		if sent, _ := g.sentParts(); len(sent) != 0 {
			t.Errorf("sent parts %v again", sent)
		}
		g.keys("new")
		g.idle()
	})
}

func TestResumeOfAnEdit(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 60<<20)
		f := g.existing("k", append([]byte(nil), data...))
		g.open(f)
		data[30<<20]++
		g.write(f, data[30<<20:30<<20+1], 30<<20)
		g.failing(func(op, part string) bool { return op == "CompleteMultipartUpload" })
		g.closeFile(f)
		after(10 * time.Second)
		g.crash()
		g.server.ClearRequests()
		g.wait()
		g.has("k", data)
		if sent, copied := g.sentParts(); len(sent) != 0 || copied != 0 {
			t.Errorf("sent parts %v, copied %d again", sent, copied)
		}
		g.keys("k")
		g.idle()
	})
}

// Two versions were closed; no request can have published the first: one is sent.
func TestRecoveredVersionsAreSentOnce(t *testing.T) {
	writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		g.failing(func(op, part string) bool { return op == "PutObject" })
		f := g.put("k", []byte("012345"))
		after(10 * time.Second)
		g.open(f)
		g.write(f, []byte("22"), 1)
		g.closeFile(f)
		if n := len(f.chain); n != 2 {
			t.Fatalf("%d versions, want 2", n)
		}
		g.crash()
		g.server.ClearRequests()
		if err := g.engine.Wait(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		g.has("k", []byte("022345"))
		if n := g.server.Count("PutObject"); n != 1 {
			t.Errorf("%d PUTs, want 1", n)
		}
		g.keys("k")
	})
}

// An edit is resumed whose base another client has replaced meanwhile, while all of its
// bytes are held here: it is sent whole, since nothing can be copied any more.
func TestResumeOfAnEditWhoseBaseIsGone(t *testing.T) {
	cachedSim(t, 1<<30, func(t *testing.T, g *writeRig) {
		data := writePattern(1, 11<<20)
		f := g.existing("k", bytes.Clone(data))
		g.open(f)
		data[10<<20]++
		g.write(f, data[10<<20:10<<20+1], 10<<20)
		// One copied part is never made; what the sent part borrows is lost with the crash.
		g.failing(func(op, part string) bool { return op == "UploadPartCopy" && part == "1" })
		g.closeFile(f)
		after(10 * time.Second)
		g.kill(func(dir string) {})
		g.failing(func(op, part string) bool { return op == "HeadObject" }) // with which it begins
		g.start()
		g.reads(g.found.Files[0], data)
		g.settle() // all of it is on disk then
		g.server.PutObject("k", []byte("theirs"), nil)
		g.server.Fault(nil)
		g.wait()
		g.has("k", data)
		g.has(g.theirs(), []byte("theirs"))
		g.idle()
	})
}

// Credentials that end in the middle of an upload cost the parts that they refuse: the
// others stay in the bucket, also those that have left the spool.
func TestDeniedPartKeepsTheUpload(t *testing.T) {
	for _, limit := range []int64{1 << 30, overflowLimit} {
		writeSim(t, limit, func(t *testing.T, g *writeRig) {
			data := writePattern(1, 80<<20)
			f := g.create("k")
			g.overflow(f, data[:70<<20])
			after(time.Minute)
			g.fault("UploadPart", -1, s3test.Fault{Status: 403, Code: "ExpiredToken"})
			g.write(f, data[70<<20:], 70<<20)
			after(time.Minute)
			if err := f.Sync(context.Background()); !errors.Is(err, s3.ErrCredentials) {
				t.Errorf("fsync: %v", err)
			}
			f.CloseHandle(true)
			g.server.Fault(nil)
			g.wait()
			g.has("k", data)
			g.keys("k")
			g.idle()
			if n := g.server.Count("CreateMultipartUpload"); n != 1 {
				t.Errorf("%d uploads were made, want 1", n)
			}
		})
	}
}
