package s3

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTrafficIsThatOfTheLastSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Bucket{http: &client{}}
		l := &b.http.line
		near := func(when string, got, want int64) {
			t.Helper()
			if got < want*9/10 || got > want*11/10 {
				t.Errorf("%s: %d bytes/s, want about %d", when, got, want)
			}
		}
		send := func(rate int, d time.Duration) {
			for range d / (50 * time.Millisecond) {
				time.Sleep(50 * time.Millisecond)
				l.sent(rate / 20)
			}
		}
		if up := b.Traffic().Up; up != 0 {
			t.Errorf("before anything was sent: %d", up)
		}
		time.Sleep(time.Hour + 123*time.Millisecond)
		send(1_000_000, 2*time.Second)
		near("after two seconds", b.Traffic().Up, 1_000_000)
		send(1_000_000, 20*time.Second)
		near("after 22 seconds", b.Traffic().Up, 1_000_000)
		send(100_000, 6*time.Second)
		near("six seconds after it became slower", b.Traffic().Up, 100_000)
		time.Sleep(6 * time.Second)
		if up := b.Traffic().Up; up != 0 {
			t.Errorf("after a pause: %d", up)
		}
		send(2_000_000, time.Second)
		near("after the pause", b.Traffic().Up, 2_000_000)
	})
}

func TestTrafficKnowsSinceWhenRequestsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Bucket{http: &client{}}
		l := &b.http.line
		began := time.Now()
		l.failed()
		time.Sleep(time.Minute)
		l.failed()
		if got := b.Traffic().FailingSince; !got.Equal(began) {
			t.Errorf("failing since %v, want %v", got, began)
		}
		l.answered()
		if got := b.Traffic().FailingSince; !got.IsZero() {
			t.Errorf("failing since %v after an answer", got)
		}
	})
}
