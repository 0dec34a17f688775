package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
)

// Raw is the subject that others are divided by.
const Raw = "raw"

// Case is what was measured of whom: a workload on a link, done by a subject
// (the raw client or a mount), in one run.
type Case struct {
	Workload, Profile, Subject string
	Run                        int
}

type sample struct {
	Case
	metric string
	value  float64
}

type note struct {
	Case
	text string
}

// Log collects samples. It may be used from many goroutines.
type Log struct {
	mu      sync.Mutex
	samples []sample
	notes   []note
}

// Add keeps a value; a second one for the same case and metric replaces it.
func (l *Log) Add(c Case, metric string, value float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = slices.DeleteFunc(l.samples, func(s sample) bool { return s.Case == c && s.metric == metric })
	l.samples = append(l.samples, sample{c, metric, value})
}

// Note keeps a sentence, such as why there is no value.
func (l *Log) Note(c Case, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, note{c, text})
}

// value finds one sample.
func (l *Log) value(c Case, metric string) (float64, bool) {
	for _, s := range l.samples {
		if s.Case == c && s.metric == metric {
			return s.value, true
		}
	}
	return 0, false
}

// plain are the values of all runs of a subject.
func (l *Log) plain(c Case, metric string) []float64 {
	var out []float64
	for _, s := range l.samples {
		c.Run = s.Run
		if s.Case == c && s.metric == metric {
			out = append(out, s.value)
		}
	}
	return out
}

// ratios are the values of all runs, each divided by the raw value of its own
// run. Runs without one are left out.
func (l *Log) ratios(c Case, metric string) []float64 {
	var out []float64
	for _, s := range l.samples {
		c.Run = s.Run
		if s.Case != c || s.metric != metric {
			continue
		}
		limit := c
		limit.Subject = Raw
		if raw, ok := l.value(limit, metric); ok && raw != 0 {
			out = append(out, s.value/raw)
		}
	}
	return out
}

// subjects are those of a workload, in the order in which they came.
func (l *Log) subjects(workload, profile string) []string {
	var out []string
	add := func(c Case) {
		if c.Workload == workload && c.Profile == profile && !slices.Contains(out, c.Subject) {
			out = append(out, c.Subject)
		}
	}
	for _, s := range l.samples {
		add(s.Case)
	}
	for _, n := range l.notes {
		add(n.Case)
	}
	return out
}

// WriteTSV writes one line for each sample and note.
func (l *Log) WriteTSV(w io.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := csv.NewWriter(w)
	out.Comma = '\t'
	row := func(c Case, metric, value string) error {
		return out.Write([]string{c.Workload, c.Profile, c.Subject, strconv.Itoa(c.Run), metric, value})
	}
	if err := out.Write([]string{"workload", "profile", "subject", "run", "metric", "value"}); err != nil {
		return err
	}
	for _, s := range l.samples {
		if err := row(s.Case, s.metric, strconv.FormatFloat(s.value, 'g', 8, 64)); err != nil {
			return err
		}
	}
	for _, n := range l.notes {
		if err := row(n.Case, "note", n.text); err != nil {
			return err
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write the samples: %w", err)
	}
	return nil
}
