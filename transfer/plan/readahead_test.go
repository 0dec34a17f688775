package plan

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files of readahead")

const testBlock = 256 * kib

// TestReadaheadTraces replays what clients were seen to read, and compares decisions
// with testdata/readahead/*.golden. A line of a trace is
//
//	MILLISECONDS read OFFSET BYTES wait|ready
//	MILLISECONDS seq OFFSET BYTES COUNT every MILLISECONDS wait|ready|paced
//
// where paced is: ready, if it was requested one round trip and its transfer before.
func TestReadaheadTraces(t *testing.T) {
	traces, err := filepath.Glob("testdata/readahead/*.txt")
	if err != nil || len(traces) == 0 {
		t.Fatal("no traces", err)
	}
	for _, name := range traces {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			golden := strings.TrimSuffix(name, ".txt") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("decisions differ from %s; got:\n%s", golden, got)
			}
		})
	}
}

// replayer runs one trace.
type replayer struct {
	t     *testing.T
	r     *Readahead
	size  int64
	asked int64           // bytes read
	sent  int64           // bytes requested
	ended int64           // when the last read had its bytes
	there map[int64]int64 // block -> time when it has arrived
	out   strings.Builder
}

func replay(t *testing.T, text string) string {
	p := &replayer{t: t, there: map[int64]int64{}}
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		switch {
		case len(w) == 0 || w[0] == "#":
		case w[0] == "file":
			tail := int64(0)
			if len(w) == 4 {
				tail = size(t, w[3])
			}
			p.size = size(t, w[1])
			p.r = NewReadahead(p.size, testBlock, tail)
		case w[1] == "read":
			p.read(millis(t, w[0]), size(t, w[2]), size(t, w[3]), w[4])
		case w[1] == "seq":
			at, off, n, count, every := millis(t, w[0]), size(t, w[2]), size(t, w[3]), size(t, w[4]), millis(t, w[6])
			for i := range count {
				p.read(at+i*every, off+i*n, n, w[7])
			}
		default:
			t.Fatalf("what is %q", line)
		}
	}
	fmt.Fprintf(&p.out, "asked %s, requested %s, windows %d\n", short(p.asked), short(p.sent), p.r.Streams())
	return p.out.String()
}

func (p *replayer) read(now, off, n int64, how string) {
	n = min(n, p.size-off)
	ready := how == "ready"
	if how == "paced" {
		ready = true
		for b := off / testBlock; b*testBlock < off+n; b++ {
			at, ok := p.there[b]
			ready = ready && ok && at <= now
		}
	}
	idle := max(now-p.ended, 0)
	p.ended = max(p.ended, now)
	if !ready {
		p.ended = max(p.ended, now+30*millisecond)
	}
	d := p.r.Read(off, n, Conditions{Now: now, Idle: idle, Ready: ready, MaxWindow: 96 * mib, RoundTrip: 30 * millisecond})
	p.asked += n
	if len(d.Fetch) == 0 && len(d.Left) == 0 {
		return
	}
	fmt.Fprintf(&p.out, "%.1f ms read %s+%s -> stream %d", float64(now)/1e6, short(off), short(n), d.Slot)
	for _, q := range d.Fetch {
		p.check(q)
		arrival := now + 30*millisecond
		for b := q.Off / testBlock; b*testBlock < q.Off+q.N; b++ {
			arrival += 5 * millisecond // at 50 MB/s
			if _, ok := p.there[b]; !ok {
				p.there[b] = arrival
			}
		}
		name := fmt.Sprintf(" [%s+%s]", short(q.Off), short(q.N))
		if q.Slot == Scatter {
			name = " scatter" + name
		}
		p.out.WriteString(name)
		p.sent += q.N
	}
	for _, slot := range d.Left {
		fmt.Fprintf(&p.out, " left %d", slot)
	}
	p.out.WriteString("\n")
}

func (p *replayer) check(q Request) {
	p.t.Helper()
	if q.Off < 0 || q.N <= 0 || q.Off%testBlock != 0 || q.Off+q.N > p.size ||
		(q.N%testBlock != 0 && q.Off+q.N != p.size) {
		p.t.Errorf("request of %d bytes at %d of %d", q.N, q.Off, p.size)
	}
}

func size(t *testing.T, s string) int64 {
	t.Helper()
	unit := int64(1)
	if i := strings.IndexAny(s, "KMG"); i > 0 {
		unit = map[byte]int64{'K': kib, 'M': mib, 'G': 1 << 30}[s[i]]
		s = s[:i]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n * unit
}

func millis(t *testing.T, s string) int64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(f * 1e6)
}

func short(n int64) string {
	switch {
	case n != 0 && n%mib == 0:
		return fmt.Sprintf("%dM", n/mib)
	case n%kib == 0:
		return fmt.Sprintf("%dK", n/kib)
	}
	return strconv.FormatInt(n, 10)
}

// TestReadaheadInvariants reads in every way and checks what always holds: requests lie
// inside the object, no stream asks twice, windows stay within their limit.
func TestReadaheadInvariants(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		total := rnd.Int64N(1<<30) + 1
		r := NewReadahead(total, testBlock, 256*kib)
		p := &replayer{t: t, size: total}
		limit := int64(64 * mib)
		asked := map[[2]int64]bool{} // stream and block, while the stream lives
		pos, now := rnd.Int64N(total), int64(0)
		for range 300 {
			n := min(rnd.Int64N(mib)+1, total-pos)
			d := r.Read(pos, n, Conditions{Now: now, Ready: rnd.IntN(2) == 0, MaxWindow: limit, RoundTrip: 30 * millisecond})
			forgetStreams(asked, d.Left)
			for _, q := range d.Fetch {
				p.check(q)
				forward := q.Slot < Scatter && r.streams[q.Slot].dir > 0
				for b := q.Off / testBlock; b*testBlock < q.Off+q.N; b++ {
					key := [2]int64{int64(q.Slot), b}
					if forward && asked[key] {
						t.Fatalf("seed %d: block %d is asked for twice by stream %d", seed, b, q.Slot)
					}
					asked[key] = forward
				}
			}
			for key := range asked { // what is given back may be asked for again
				if key[0] == int64(d.Slot) && (key[1] < d.From/testBlock || key[1]*testBlock >= d.To) {
					delete(asked, key)
				}
			}
			if d.To-d.From > limit+keepBehind+maxRequest+reorder+2*mib {
				t.Fatalf("seed %d: window of %d bytes", seed, d.To-d.From)
			}
			now += rnd.Int64N(20 * millisecond)
			switch pos += n; {
			case rnd.IntN(20) == 0 || pos >= total:
				pos = rnd.Int64N(total)
			case rnd.IntN(10) == 0:
				pos = max(0, pos-rnd.Int64N(mib))
			}
			if rnd.IntN(100) == 0 {
				forgetStreams(asked, r.Idle(now-5*millisecond))
			}
		}
	}
}

func forgetStreams(asked map[[2]int64]bool, slots []int) {
	for key := range asked {
		for _, slot := range slots {
			if key[0] == int64(slot) {
				delete(asked, key)
			}
		}
	}
}

// TestReadaheadKeepsWhatIsReadLate has the kernel's reads of a stream overtake each other.
func TestReadaheadKeepsWhatIsReadLate(t *testing.T) {
	r := NewReadahead(1<<30, testBlock, 0)
	c := Conditions{MaxWindow: 96 * mib, RoundTrip: 30 * millisecond}
	for _, at := range []int64{0, 1, 2, 4, 3, 6, 5} {
		late := r.streams[0].hi > at*mib
		d := r.Read(at*mib, mib, c)
		held := at * mib
		if !late { // the read before it may come now
			held = max(at-1, 0) * mib
		}
		if d.Slot != 0 || d.From > held {
			t.Errorf("read of %dM: stream %d gives up what is before %s", at, d.Slot, short(d.From))
		}
	}
}

func TestReadaheadRefused(t *testing.T) {
	r := NewReadahead(1<<30, testBlock, 0)
	c := Conditions{MaxWindow: 96 * mib, RoundTrip: millisecond}
	r.Read(0, 128*kib, c)
	d := r.Read(128*kib, 128*kib, c)
	if len(d.Fetch) == 0 {
		t.Fatal("no window")
	}
	r.Refused(d.Fetch[0])
	again := r.Read(256*kib, 128*kib, c)
	if len(again.Fetch) == 0 || again.Fetch[0].Off != d.Fetch[0].Off {
		t.Errorf("what was refused is not asked for again: %+v", again.Fetch)
	}
}
