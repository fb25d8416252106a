package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// report is all bars of a command's workloads in one table, for people.
type report []summaryLine

func (r *report) add(s summaryLine) { *r = append(*r, s) }

// String returns a line for each bar, marked if it was missed and if the limit beside it was unsteady.
func (r report) String() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "workload\tside\tfigure\tmedian [min..max]\tbar\tgoal\t")
	for _, s := range r {
		for _, e := range s.Engines {
			for _, bar := range e.Bars {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Workload, e.Side, bar.Figure, bar.value(), bar.bound(), bar.goal(), mark(bar, s.Suspect))
			}
		}
	}
	t.Flush() // a strings.Builder takes everything
	return b.String()
}

func (b bar) goal() string {
	if b.Goal == 0 {
		return ""
	}
	return fmt.Sprintf("%.4g", b.Goal)
}

func mark(b bar, suspect bool) string {
	var marks []string
	if !b.Reached {
		marks = append(marks, "MISSED")
	}
	if suspect {
		marks = append(marks, "unsteady")
	}
	return strings.Join(marks, ", ")
}
