package plan

import (
	"fmt"
	"strings"
)

// String returns the plan as a user reads it: a line for each step that has, had or gets state, and below it one for each state.
func (p *Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		if s.silent() {
			continue
		}
		b.WriteString(s.head())
		for _, state := range s.States {
			b.WriteString("\n  " + state.String())
		}
		b.WriteByte('\n')
	}
	b.WriteString(p.summary())
	return b.String()
}

// silent reports whether there is nothing to say of a step: it keeps no state.
func (s *Step) silent() bool { return len(s.States) == 0 && !s.Finished && s.From == "" }

func (s *Step) head() string {
	text := fmt.Sprintf("step %q", s.Name)
	if s.From != "" {
		text += fmt.Sprintf(", formerly %q", s.From)
	}
	switch {
	case s.Now == 0:
		text += ", which the job does not have"
		if s.Uncommitted > 0 {
			text += fmt.Sprintf(": LOSS OF DATA, %d prepared and not known to be committed", s.Uncommitted)
		}
	case s.Was == 0:
		text += fmt.Sprintf(", which is new: parallelism %d", s.Now)
	case s.Was != s.Now:
		text += fmt.Sprintf(": parallelism %d, was %d", s.Now, s.Was)
	default:
		text += fmt.Sprintf(": parallelism %d", s.Now)
	}
	if s.Finished {
		text += ", finished, does not run again"
	}
	return text
}

// String returns the state as one line.
func (s State) String() string {
	text := fmt.Sprintf("%-12s  %s, %s", s.Fate, s.Name, s.Kind)
	if s.Kind == enumerator {
		text = fmt.Sprintf("%-12s  %s", s.Fate, s.Name)
	}
	if s.Type != "" {
		text += " " + s.Type
	}
	if s.From != "" {
		text += fmt.Sprintf(", formerly %q", s.From)
	}
	switch {
	case s.Why != "":
		text += ": " + s.Why
	case len(s.Changes) > 0:
		text += ": " + strings.Join(s.Changes, "; ")
	}
	return text
}

func (p *Plan) summary() string {
	var parts []string
	for _, f := range []Fate{Keep, Recut, Evolve, New, Dropped, Incompatible} {
		if n := p.Count(f); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, f))
		}
	}
	if len(parts) == 0 {
		return "no state"
	}
	return "states: " + strings.Join(parts, ", ")
}
