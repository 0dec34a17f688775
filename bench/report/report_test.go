package report

import (
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   Summary
	}{
		{nil, Summary{}},
		{[]float64{7}, Summary{7, 7, 7, 1}},
		{[]float64{3, 1, 2}, Summary{2, 1, 3, 3}},
		{[]float64{4, 1, 3, 2}, Summary{2.5, 1, 4, 4}},
	} {
		if got := Summarize(tt.values); got != tt.want {
			t.Errorf("Summarize(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	sorted := []float64{0, 10, 20, 30, 40}
	for q, want := range map[float64]float64{0: 0, 0.25: 10, 0.5: 20, 0.95: 38, 1: 40} {
		if got := Quantile(sorted, q); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("Quantile(%v) = %v, want %v", q, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", 0.9512: "0.95", 0.004: "0.004", 1.014: "1.01", 12.34: "12.3", 312.4: "312", 1000: "1000", -0.5: "-0.50",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

// example has three runs, of which the raw limit differs and one failed.
func example() *Log {
	l := &Log{}
	at := func(subject string, run int) Case { return Case{"write", "L1", subject, run} }
	for run, speed := range map[int]float64{1: 300, 2: 200, 3: 400} {
		l.Add(at(Raw, run), "MB/s", speed)
	}
	for run, speed := range map[int]float64{1: 270, 2: 190, 3: 400} {
		l.Add(at("s3mount", run), "MB/s", speed)
		l.Add(at("s3mount", run), "requests", 40)
	}
	l.Add(at("other", 2), "MB/s", 100)
	l.Note(at("other", 1), "not done\nafter 3m")
	l.Note(at("other", 3), "not done after 3m")
	l.Note(at("absent", 1), "absent is missing")
	l.Add(Case{"write", "L2", "s3mount", 1}, "MB/s", 1)
	return l
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	err := example().WriteMarkdown(&b, []Section{
		{Workload: "write", Profile: "L1", Title: "one file", Columns: []Column{
			{Metric: "MB/s", Title: "speed / raw", Ratio: true, Goal: "≥ 0.95"},
			{Metric: "MB/s", Title: "MB/s"},
			{Metric: "requests", Title: "requests"},
			{Metric: "never", Title: "never"},
		}},
		{Workload: "read", Profile: "L1", Title: "not measured"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// The ratio is that of the same run: the median of 0.9, 0.95 and 1, which
	// differs from the ratio of the medians.
	const want = `### write, L1: one file

| | speed / raw | MB/s | requests |
|---|---|---|---|
| *goal* | ≥ 0.95 |  |  |
| raw | 1 | 300 (200–400) | – |
| s3mount | 0.95 (0.90–1) | 270 (190–400) | 40 |
| other | 0.50 | 100 | – |
| absent | – | – | – |

- other: not done after 3m (run 1, 3)
- absent: absent is missing (run 1)

`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTSV(t *testing.T) {
	l := &Log{}
	c := Case{"write", "L1", "s3mount", 2}
	l.Add(c, "MB/s", 1)
	l.Add(c, "MB/s", 297.123456)
	l.Note(c, "a\ttab")
	var b strings.Builder
	if err := l.WriteTSV(&b); err != nil {
		t.Fatal(err)
	}
	const want = "workload\tprofile\tsubject\trun\tmetric\tvalue\n" +
		"write\tL1\ts3mount\t2\tMB/s\t297.12346\n" +
		"write\tL1\ts3mount\t2\tnote\t\"a\ttab\"\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}
