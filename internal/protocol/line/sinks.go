package line

import (
	"fmt"
	"slices"
	"strings"
)

// sinks decides what happens to what was committed after the snapshot that is to be restored: who withdraws, or why the start stops.
func (d *decision) sinks(p plan) (withdraw []string, v Verdict, refused bool) {
	var blocked []SinkAnswer
	var notes []string
	for _, a := range d.answers {
		switch {
		case len(a.Committed) == 0 && (a.Unknown == "" || !p.back):
			// Nothing would appear twice.
		case d.withdraws(a, p):
			withdraw = append(withdraw, a.Name)
			notes = append(notes, fmt.Sprintf("sink %s withdraws: %s", a.Name, a.what(p)))
		case d.Flags.AcceptDuplicates:
			notes = append(notes, fmt.Sprintf("sink %s: duplicates accepted: %s", a.Name, a.what(p)))
		default:
			blocked = append(blocked, a)
		}
	}
	if len(blocked) > 0 {
		return nil, d.wouldRepeat(blocked, p), true
	}
	d.notes = append(d.notes, notes...)
	return withdraw, Verdict{}, false
}

// withdraws reports whether a sink is to withdraw. --accept-duplicates alone means that all output stays as it is.
func (d *decision) withdraws(a SinkAnswer, p plan) bool {
	if p.foreign || a.Unknown != "" || d.Flags.AcceptDuplicates && !d.Flags.Withdraw {
		return false
	}
	return a.Withdrawal == Automatic || a.Withdrawal == OnRequest && d.Flags.Withdraw
}

// what says what of a sink would appear twice.
func (a SinkAnswer) what(p plan) string {
	if a.Unknown != "" {
		return "it cannot tell what it has committed: " + a.Unknown
	}
	if p.asks() == 0 {
		return "it has committed " + listed(a.Committed)
	}
	return fmt.Sprintf("it has committed after checkpoint %d: %s", p.asks(), listed(a.Committed))
}

// wouldRepeat refuses a start that would make output appear twice.
func (d *decision) wouldRepeat(blocked []SinkAnswer, p plan) Verdict {
	lines := make([]string, len(blocked))
	for i, a := range blocked {
		lines[i] = fmt.Sprintf("sink %s: %s%s", a.Name, a.what(p), a.whyNot(p))
	}
	why := fmt.Sprintf("%s would write results again that are committed already:\n  %s", p.doing(), strings.Join(lines, "\n  "))
	return d.refuse(why, append(d.repeatChoices(blocked, p), freshChoice))
}

func (p plan) doing() string {
	if p.start {
		return "starting over"
	}
	return fmt.Sprintf("going on from checkpoint %d (%s)", p.from.Checkpoint, p.from.Path)
}

// whyNot says why a sink does not withdraw, as the end of a sentence.
func (a SinkAnswer) whyNot(p plan) string {
	switch {
	case a.Unknown != "":
		return ""
	case p.foreign:
		return "; the snapshot was taken by another job, so withdrawing cannot put that right"
	case a.Withdrawal == Unable:
		return "; it cannot withdraw that"
	}
	return "; it withdraws only when asked to"
}

// repeatChoices offers --withdraw exactly where it would help.
func (d *decision) repeatChoices(blocked []SinkAnswer, p plan) []choice {
	able := func(a SinkAnswer) bool { return !p.foreign && a.Unknown == "" && a.Withdrawal == OnRequest }
	var all []choice
	switch {
	case !slices.ContainsFunc(blocked, func(a SinkAnswer) bool { return !able(a) }):
		all = append(all, choice{"--withdraw", "make those results invisible again; files are moved aside, not deleted"})
	case slices.ContainsFunc(d.answers, func(a SinkAnswer) bool { return a.Withdrawal != Unable && len(a.Committed) > 0 && !p.foreign }):
		all = append(all, choice{"--withdraw --accept-duplicates", "withdraw where a sink can; the rest appears twice"})
	}
	if p.foreign {
		all = append(all, besideChoice)
	}
	return append(all, choice{"--accept-duplicates", "leave those results; they appear twice"})
}

// listed names things, but not more than a reader takes in.
func listed(things []string) string {
	const most = 5
	if len(things) <= most {
		return strings.Join(things, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(things[:most], ", "), len(things)-most)
}
