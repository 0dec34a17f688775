package transfer

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"s3mount/internal/sum"
	"s3mount/transfer/journal"
	"s3mount/transfer/plan"
)

// A sum that is there is that of the bytes, whatever was written in which order;
// sequential writing has all of them.
func TestSumsAreThoseOfTheBytes(t *testing.T) {
	const part, size = 1000, 20 * 1000
	l := plan.Layout{Fixed: part}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		var s partSums
		data := make([]byte, 0, size)
		set := func(p []byte, off int) {
			old := len(data)
			if off > old { // as File.WriteAt
				s.forget(int64(old), int64(off))
			}
			if end := off + len(p); end > old {
				data = append(data, make([]byte, end-old)...)
			}
			copy(data[off:], p)
			s.add(l, p, int64(off))
		}
		at, wild := 0, seed%2 == 1
		for range 60 {
			p := make([]byte, 1+r.IntN(1500))
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			switch {
			case wild && r.IntN(3) == 0:
				at = r.IntN(size - 1500)
			case wild && r.IntN(8) == 0:
				to := r.IntN(len(data) + 1)
				s.forget(int64(to), int64(len(data)))
				data = data[:to]
			}
			if at+len(p) > size {
				break
			}
			set(p, at)
			at += len(p)
		}
		have := 0
		for n := 1; n <= l.Count(int64(len(data))); n++ {
			off := (n - 1) * part
			end := min(off+part, len(data))
			sums, ok := s.get(n, int64(off), int64(end-off))
			if !ok {
				continue
			}
			have++
			if want := sum.Of(data[off:end]); sums != want {
				t.Fatalf("seed %d, part %d: %x, want %x", seed, n, sums, want)
			}
		}
		if !wild && have != l.Count(int64(len(data))) {
			t.Fatalf("seed %d: %d sums for %d parts written in order", seed, have, l.Count(int64(len(data))))
		}
	}
}

func TestSumOf(t *testing.T) {
	j, err := journal.Open(journal.Options{Dir: t.TempDir(), AllowVolatile: true, SpoolLimit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	spool, err := j.Spool.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	data := writePattern(1, 3<<20)
	if _, err := spool.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	body := (&content{spool: spool}).body(5, 2<<20)
	defer spool.Unref()
	defer body.Close()
	got, err := sumOf(body)
	if want := sum.Of(data[5 : 5+2<<20]); got != want || err != nil {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
	if again, err := io.ReadAll(body); !bytes.Equal(again, data[5:5+2<<20]) || err != nil {
		t.Errorf("%d bytes, %v after the sum", len(again), err)
	}
}
