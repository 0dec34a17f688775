package transfer

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"s3mount/internal/s3/s3test"
)

var updateTraces = flag.Bool("update", false, "write anew what testdata/writes/*.txt say about requests")

// TestWriteTraces replays what programs were seen to write, and compares the requests
// with those in testdata/writes. A line of a trace is one of
//
//	base SIZE                     the file is there, with SIZE bytes (first line)
//	write OFFSET BYTES [xCOUNT]   COUNT writes, one behind the other
//	truncate SIZE, punch OFFSET BYTES, reserve SIZE
//	fsync, close, mode, rename
//
// The first operation after a close opens the file again. Below each stands what went
// to the bucket by then. The settle time passes after the last line.
func TestWriteTraces(t *testing.T) {
	traces, err := filepath.Glob("testdata/writes/*.txt")
	if err != nil || len(traces) == 0 {
		t.Fatal("no traces", err)
	}
	for _, name := range traces {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			writeSim(t, 1<<30, func(t *testing.T, g *writeRig) {
				g.grow()
				p := &traceRun{writeRig: g, key: "file", seen: map[string]bool{}}
				for line := range strings.Lines(string(text)) {
					p.line(strings.TrimRight(line, "\n"))
				}
				p.finish()
				got = p.out.String()
			})
			if *updateTraces {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("requests differ from %s; got:\n%s", name, got)
			}
		})
	}
}

// traceRun replays one trace.
type traceRun struct {
	*writeRig
	key  string
	f    *File
	open bool
	data []byte // what the file holds
	seen map[string]bool
	out  strings.Builder

	requests int
	up, down int64
}

// line replays one line, and copies it. What an earlier run said is left out.
func (p *traceRun) line(line string) {
	if strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "= ") {
		return
	}
	fmt.Fprintln(&p.out, line)
	w := strings.Fields(line)
	if len(w) == 0 || w[0] == "#" {
		return
	}
	var n []int64
	for _, s := range w[1:] {
		v, err := strconv.ParseInt(strings.TrimPrefix(s, "x"), 10, 64)
		if err != nil {
			p.t.Fatalf("%q: %v", line, err)
		}
		n = append(n, v)
	}
	p.do(w[0], n)
	time.Sleep(time.Millisecond)
	synctest.Wait()
	p.report()
}

func (p *traceRun) do(op string, n []int64) {
	switch op {
	case "base":
		p.data = writePattern(9, int(n[0]))
		p.f = p.existing(p.key, p.data)
		return
	case "close":
		p.closeFile(p.f)
		p.open = false
		return
	case "rename":
		p.key += ".renamed"
		p.rename(p.f, p.key)
		return
	case "mode":
		p.check(p.f.SetMeta(func(m *Meta) { m.Mode ^= 0o111 }))
		return
	}
	if p.f == nil {
		p.f = p.create(p.key)
	} else if !p.open {
		p.writeRig.open(p.f)
	}
	p.open = true
	switch op {
	case "write":
		for i := range append(n, 1)[2] {
			p.put(n[0]+i*n[1], int(n[1]))
		}
	case "truncate":
		p.check(p.f.Truncate(context.Background(), n[0]))
		p.data = append(p.data, make([]byte, max(0, n[0]-int64(len(p.data))))...)[:n[0]]
	case "punch":
		p.check(p.f.PunchHole(context.Background(), n[0], n[1]))
		if end := min(n[0]+n[1], int64(len(p.data))); n[0] < end {
			clear(p.data[n[0]:end])
		}
	case "reserve":
		p.check(p.f.Allocate(context.Background(), 0, n[0], true))
	case "fsync":
		p.check(p.f.Sync(context.Background()))
	default:
		p.t.Fatalf("unknown operation %q", op)
	}
}

func (p *traceRun) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *traceRun) put(off int64, n int) {
	b := writePattern(byte(off), n)
	p.write(p.f, b, off)
	p.data = append(p.data, make([]byte, max(0, int(off)+n-len(p.data)))...)
	copy(p.data[off:], b)
}

// report says what was requested since the last time.
func (p *traceRun) report() {
	var lines []string
	for _, r := range p.server.Requests() {
		p.requests++
		p.up += bodyOf(r)
		text := r.Op
		if part := r.Query.Get("partNumber"); part != "" {
			text = fmt.Sprintf("%s %5s", r.Op, part)
			if p.seen[part] {
				text += " again"
			}
			p.seen[part] = true
		}
		if r.Op == "CreateMultipartUpload" {
			clear(p.seen)
		}
		if size := bodyOf(r); size > 0 {
			text += fmt.Sprintf(" %10d bytes", size)
		}
		if r.Op == "GetObject" {
			p.down += r.Sent
			text += fmt.Sprintf(" %10d bytes", r.Sent)
		}
		lines = append(lines, "    "+text)
	}
	p.server.ClearRequests()
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(order(a), order(b)) })
	for _, l := range lines {
		fmt.Fprintln(&p.out, l)
	}
}

// order brings parts, which go side by side, into that of their numbers.
func order(line string) string {
	if strings.Contains(line, "UploadPart") {
		return "2" + line
	}
	if strings.Contains(line, "Create") || strings.Contains(line, "GetObject") {
		return "1"
	}
	return "3"
}

// bodyOf is the bytes of an object in a request.
func bodyOf(r s3test.Request) int64 {
	if r.Op == "PutObject" || r.Op == "UploadPart" {
		return r.Bytes
	}
	return 0
}

func (p *traceRun) finish() {
	if p.open {
		p.t.Fatal("the trace does not end with a close")
	}
	p.wait()
	p.report()
	p.has(p.key, p.data)
	p.keys(p.key)
	fmt.Fprintf(&p.out, "= %d requests, %d bytes sent and %d fetched for a file of %d\n", p.requests, p.up, p.down, len(p.data))
}
