package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eta := int64(90)
		began := totals{FilesLeft: 3, BytesLeft: 100_000_000}
		later := totals{FilesLeft: 2, BytesLeft: 90_000_000, BytesPerSecond: 1_000_000, ETASeconds: &eta}
		since := time.Now()
		lost := later
		lost.OfflineSince = &since
		const first = "s3mount: 3 files to go, 0 B of 100 MB sent"
		const second = "s3mount: 2 files to go, 10 MB of 100 MB sent, 1.0 MB/s, about 1m30s"
		third := "s3mount: 2 files to go, 10 MB of 100 MB sent, no answer from the server since " + since.Local().Format(time.TimeOnly)
		const wipe = "\r\x1b[K"
		for _, tt := range []struct {
			name            string
			terminal, quiet bool
			want            string
		}{
			{"terminal", true, true, wipe + first + wipe + second + wipe + "s3mount: trouble\n" + wipe + third + wipe},
			{"file", false, false, first + "\n" + second + "\ns3mount: trouble\n" + third + "\n"},
			{"quiet", false, true, "s3mount: trouble\n"},
		} {
			var out strings.Builder
			p := newProgress(&out)
			p.terminal, p.quiet = tt.terminal, tt.quiet
			for _, now := range []totals{began, later} {
				time.Sleep(6 * time.Second)
				p.show(now)
			}
			p.note("trouble")
			p.note("trouble") // said once
			p.show(lost)      // too soon
			time.Sleep(6 * time.Second)
			p.show(lost)
			p.end()
			if got := out.String(); got != tt.want {
				t.Errorf("%s:\n%q, want\n%q", tt.name, got, tt.want)
			}
		}
	})
}

func TestAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "0s": 0, "90m": 90 * time.Minute} {
		var a age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s = %v, %v, want %v", text, time.Duration(a), err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "-1h", "soon", "1w"} {
		if err := new(age).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
