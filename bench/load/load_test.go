package load

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// slow takes a time for each read, and remembers the places.
type slow struct {
	takes  func(n int) time.Duration
	places []int64
	err    error
}

func (s *slow) ReadAt(p []byte, off int64) (int, error) {
	n := len(s.places)
	s.places = append(s.places, off)
	if s.err != nil {
		return 0, s.err
	}
	time.Sleep(s.takes(n))
	return len(p), nil
}

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

func TestRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slow{takes: func(n int) time.Duration { return time.Duration(10-n) * time.Millisecond }}
		took, err := Random(f, 1<<30, 4096, 10, time.Minute, 1)
		if err != nil || len(took) != 10 || took[0] != time.Millisecond || took[9] != 10*time.Millisecond {
			t.Errorf("got %v, %v; want 1ms to 10ms, sorted", took, err)
		}
		seen := map[int64]bool{}
		for _, off := range f.places {
			if off%align != 0 || off < 0 || off > 1<<30-4096 || seen[off] {
				t.Errorf("read at %d", off)
			}
			seen[off] = true
		}
	})
}

func TestRandomStopsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, err := Random(&slow{takes: always(time.Second)}, 1<<30, 4096, 100, 10*time.Second, 1)
		if err != nil || len(took) != 10 {
			t.Errorf("%d reads of a second, %v; want 10 in 10 seconds", len(took), err)
		}
	})
}

func TestInterleaved(t *testing.T) {
	f := &slow{takes: always(0)}
	if err := Interleaved(f, []int64{0, 100 << 20}, 3<<20); err != nil {
		t.Fatal(err)
	}
	want := []int64{0, 100 << 20, 1 << 20, 101 << 20, 2 << 20, 102 << 20}
	for i, off := range f.places {
		if len(f.places) != len(want) || off != want[i] {
			t.Fatalf("read at %v, want %v", f.places, want)
		}
	}
	broken := &slow{takes: always(0), err: io.ErrUnexpectedEOF}
	if err := Sequential(broken, 0, 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a failed read gives %v", err)
	}
}

var player = Player{Rate: Block * 25, Play: 2 * time.Second, Preroll: 200 * time.Millisecond, Ahead: 8, Total: 3 * time.Second}

func TestScrubInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := []io.ReaderAt{&slow{takes: always(30 * time.Millisecond)}, &slow{takes: always(35 * time.Millisecond)}}
		got, err := player.Scrub(files, 1<<30, 1)
		if err != nil {
			t.Fatal(err)
		}
		// Two jumps begin within three seconds, of 50 blocks each.
		if got.Reads != 200 || got.Late != 0 || got.Stall != 0 || len(got.Seeks) != 4 {
			t.Errorf("got %+v, want 200 reads in time after 4 jumps", got)
		}
		if got.Seeks[0] != 30*time.Millisecond || got.Seeks[3] != 35*time.Millisecond {
			t.Errorf("jumps took %v", got.Seeks)
		}
	})
}

// A read that takes 500 ms when the first block is due after 200 stalls the
// picture once; the clock goes on from there, and nothing else is late.
func TestScrubLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &slow{takes: func(n int) time.Duration {
			if n == 0 {
				return 500 * time.Millisecond
			}
			return time.Millisecond
		}}
		once := player
		once.Total = time.Second
		got, err := once.Scrub([]io.ReaderAt{f}, 1<<30, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got.Reads != 50 || got.Late != 1 || got.Stall != 300*time.Millisecond {
			t.Errorf("got %+v, want one late read of 50 and a stall of 300ms", got)
		}
	})
}

func TestScrubShortFile(t *testing.T) {
	if _, err := player.Scrub([]io.ReaderAt{&slow{}}, 10<<20, 1); err == nil {
		t.Error("a file that is shorter than a jump plays is taken")
	}
}
