package link

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	p := &pace{rate: 1e6} // a byte each microsecond
	start := time.Unix(1000, 0)
	for _, step := range []struct {
		name  string
		now   time.Duration
		bytes int
		want  time.Duration
	}{
		{"unused time counts up to the credit", 0, 10_000, 10*time.Millisecond - credit},
		{"the next follows", 0, 10_000, 20*time.Millisecond - credit},
		{"a late caller loses nothing", 17 * time.Millisecond, 10_000, 30*time.Millisecond - credit},
		{"a long pause is not made up for", time.Second, 10_000, 1010*time.Millisecond - credit},
	} {
		if got := p.book(start.Add(step.now), step.bytes).Sub(start); got != step.want {
			t.Errorf("%s: leaves at %v, want %v", step.name, got, step.want)
		}
	}
	free := &pace{}
	if got := free.book(start, 1<<30); !got.Equal(start) {
		t.Errorf("without a limit it leaves at %v, want at once", got)
	}
}
