package line

import (
	"fmt"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/exitcode"
)

// choice is one way out of a refusal: flags to add to the same command, and what they do. Without flags it is something else to do.
type choice struct{ flags, does string }

var (
	freshChoice  = choice{"--fresh", "start from nothing: earlier output is moved aside, earlier checkpoints stay"}
	besideChoice = choice{"-D execution.checkpointing.dir=<another directory>", "run it beside this one, as a job of its own with another output"}
)

// refuse is the verdict not to start: why, and what the user can do.
func (d *decision) refuse(why string, choices []choice) Verdict {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nNothing was changed. You can", why)
	for _, c := range choices {
		if c == freshChoice && d.Flags.From != nil {
			fmt.Fprintf(&b, "\n  leave -s out and add %s\n      to %s", c.flags, c.does) // the two contradict each other
		} else if c.flags == "" {
			fmt.Fprintf(&b, "\n  %s", c.does)
		} else {
			fmt.Fprintf(&b, "\n  add %s\n      to %s", c.flags, c.does)
		}
	}
	return Verdict{Do: Refuse, Code: exitcode.Refused, Notes: d.notes, Text: b.String()}
}

// unreadable refuses because nobody can tell whether a checkpoint is whole.
func (d *decision) unreadable(s Snapshot, why string) Verdict {
	return d.refuse(fmt.Sprintf("cannot tell whether checkpoint %d (%s) is whole: %s\nThis proves no damage, so no older checkpoint is used instead.",
		s.Checkpoint, s.Path, why), []choice{{"", "run the same command again when it can be read"}})
}

// choices offers the savepoint that the job was cancelled with, the given checkpoints, the one the job was started from, and a fresh start. It
// offers none that has just proven to be damaged.
func (d *decision) choices(good []Snapshot) []choice {
	const most = 5
	var all []choice
	if r := d.Record; r != nil && r.End != nil && r.End.Savepoint != nil && d.checks[r.End.Savepoint.Path].outcome != Damaged {
		all = append(all, choice{d.flagsFor(*r.End.Savepoint), "go on from the savepoint that it was cancelled with"})
	}
	for _, s := range good {
		if d.checks[s.Path].outcome != Damaged && len(all) < most {
			all = append(all, choice{d.flagsFor(s), fmt.Sprintf("go on from %s %d", d.kindOf(s), s.Checkpoint)})
		}
	}
	if from := d.origin(); from != nil && d.checks[from.Path].outcome != Damaged {
		all = append(all, choice{d.flagsFor(*from), "go back to where this job was started from"})
	}
	if len(all) == 0 {
		all = append(all, choice{"-s <path>", "go on from a savepoint or checkpoint that you have kept elsewhere"})
	}
	return append(all, freshChoice)
}

// origin returns the snapshot that the present job id was started from, nil if there is none.
func (d *decision) origin() *Snapshot {
	if d.Record == nil {
		return nil
	}
	return d.Record.Job().From
}

// flagsFor returns the flags that restore a snapshot, with --rewind if the line has been started from it before.
func (d *decision) flagsFor(s Snapshot) string {
	if d.Record != nil {
		for _, j := range d.Record.Jobs {
			if j.From != nil && j.From.same(s) {
				return flagS(s.Path) + " --rewind"
			}
		}
	}
	return flagS(s.Path)
}

// flagS writes -s with a path as one types it into a shell.
func flagS(path string) string {
	if strings.ContainsAny(path, " \t\n'\"\\$&;|<>()*?[]#~`!") {
		path = "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return "-s " + path
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
