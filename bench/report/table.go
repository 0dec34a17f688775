package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Column is one of a table.
type Column struct {
	Metric string
	Title  string
	Ratio  bool   // divided by the raw value of the same run
	Goal   string // what s3mount shall reach; shown below the title
}

// Section is the table of a workload on one link.
type Section struct {
	Workload, Profile string
	Title             string
	Columns           []Column
}

// WriteMarkdown writes a table for each section that has samples: the median
// of the runs, and in parentheses the least and the most of them.
func (l *Log) WriteMarkdown(w io.Writer, sections []Section) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, s := range sections {
		l.section(&b, s)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l *Log) section(b *strings.Builder, s Section) {
	subjects := l.subjects(s.Workload, s.Profile)
	if len(subjects) == 0 {
		return
	}
	fmt.Fprintf(b, "### %s, %s: %s\n\n", s.Workload, s.Profile, s.Title)
	columns := l.used(s, subjects)
	head, rule := "|", "|---|"
	goals, anyGoal := "| *goal* |", false
	for _, c := range columns {
		head += " | " + c.Title
		rule += "---|"
		goals += " " + c.Goal + " |"
		anyGoal = anyGoal || c.Goal != ""
	}
	fmt.Fprintf(b, "%s |\n%s\n", head, rule)
	if anyGoal {
		fmt.Fprintln(b, goals)
	}
	for _, subject := range subjects {
		fmt.Fprintf(b, "| %s |", subject)
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", l.cell(Case{s.Workload, s.Profile, subject, 0}, c))
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintln(b)
	l.remarks(b, s)
}

// used are the columns with at least one value.
func (l *Log) used(s Section, subjects []string) []Column {
	var out []Column
	for _, c := range s.Columns {
		for _, subject := range subjects {
			if len(l.plain(Case{s.Workload, s.Profile, subject, 0}, c.Metric)) > 0 {
				out = append(out, c)
				break
			}
		}
	}
	return out
}

func (l *Log) cell(c Case, col Column) string {
	values := l.plain(c, col.Metric)
	if col.Ratio {
		values = l.ratios(c, col.Metric)
	}
	return format(Summarize(values))
}

// remarks says what went wrong, once for runs that failed alike.
func (l *Log) remarks(b *strings.Builder, s Section) {
	var lines []string
	runs := map[string][]string{}
	for _, n := range l.notes {
		if n.Workload != s.Workload || n.Profile != s.Profile {
			continue
		}
		line := n.Subject + ": " + strings.Join(strings.Fields(n.text), " ")
		if runs[line] == nil {
			lines = append(lines, line)
		}
		runs[line] = append(runs[line], strconv.Itoa(n.Run))
	}
	for _, line := range lines {
		fmt.Fprintf(b, "- %s (run %s)\n", line, strings.Join(runs[line], ", "))
	}
	if len(lines) > 0 {
		fmt.Fprintln(b)
	}
}

// format shows a summary; the spread only where there is one.
func format(s Summary) string {
	switch {
	case s.N == 0:
		return "–"
	case number(s.Min) == number(s.Max):
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

// number shows three digits that matter, and never less than the integer part.
func number(v float64) string {
	decimals := 2
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		decimals = 0
	case a >= 10:
		decimals = 1
	case a != 0 && a < 0.1:
		decimals = 3
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
