// Package report keeps what benchmarks measured and prints it: medians with
// their spread, as ratios to the limit of the same run, as a Markdown table
// and as TSV. It measures nothing itself.
package report

import (
	"slices"
)

// Summary is the middle and the ends of some values.
type Summary struct {
	Median, Min, Max float64
	N                int
}

// Summarize returns the zero Summary for no values.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	s := slices.Sorted(slices.Values(values))
	return Summary{Quantile(s, 0.5), s[0], s[len(s)-1], len(s)}
}

// Quantile is the value below which the share q (0 to 1) of the sorted values
// lies, interpolated between its neighbours. There must be values.
func Quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	part := at - float64(low)
	return sorted[low]*(1-part) + sorted[low+1]*part
}
