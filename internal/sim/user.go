package sim

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// user is who starts the job. He gives the same command again and again; if that is refused because the job was cancelled, he does the first
// thing that the refusal offers.
type user struct {
	from   string // what he names with -s
	claim  bool
	rewind bool
	fresh  bool
	// cancelled says that the job has certainly been cancelled: the same command must be refused. doubts says that it may have been.
	cancelled, doubts bool
	// stopped says that the job has stopped with a savepoint and must go on from it.
	stopped bool
	// drained is the savepoint that the job was drained with: it must have nothing left to do.
	drained string
	// follows is the savepoint of a drain that did not come to its end, from which a later process has gone on.
	follows string
}

// flags returns what the user adds to his command.
func (u *user) flags() (start.Flags, map[string]string) {
	set := map[string]string{}
	if u.from != "" {
		set["execution.state-recovery.path"] = u.from
		if u.claim {
			set["execution.state-recovery.claim-mode"] = "CLAIM"
		}
	}
	return start.Flags{Fresh: u.fresh, Rewind: u.rewind}, set
}

// says tells that as one types it.
func (u *user) says() (flags string) {
	if u.from != "" {
		flags += " with -s " + u.from
	}
	if u.rewind {
		flags += " --rewind"
	}
	if u.fresh {
		flags += " --fresh"
	}
	return flags
}

// plain lets the user say nothing beyond the command.
func (u *user) plain() { u.from, u.claim, u.rewind, u.fresh = "", false, false, false }

// refused sees that a start is refused, and reports whether that is because the job was cancelled: then the user tries something else.
func (w *World) refused(err error) bool {
	var refused *start.Error
	u := &w.user
	if u.claim && errors.As(err, &refused) && strings.Contains(refused.Text, "cannot be claimed: it belongs to") {
		w.note("the start is refused: %s", refused.Text)
		u.claim = false
		return true
	}
	if !u.cancelled && !u.doubts || !errors.As(err, &refused) || refused.Code != exitcode.Refused {
		return false
	}
	named, cancelled := u.from != "", strings.Contains(refused.Text, "was cancelled")
	if !named && !cancelled {
		return false
	}
	if named || u.fresh { // it may have come so far as to write that down
		u.cancelled, u.doubts = false, true
	}
	first, offered := "", false
	for line := range strings.Lines(refused.Text) {
		if flags, ok := strings.CutPrefix(line, "  add "); ok && !offered && !strings.Contains(flags, "<") {
			first, offered = strings.TrimSpace(flags), true
		}
	}
	w.note("the start is refused: %s", refused.Text)
	u.plain()
	if !offered || named { // he tries without what he said, to be told what there is
		return true
	}
	for flag := range strings.FieldsSeq(first) {
		switch flag {
		case "-s":
		case "--rewind":
			u.rewind = true
		case "--fresh":
			u.fresh = true
		default:
			u.from = flag
		}
	}
	return true
}

// started sees that a process of the job has begun.
func (w *World) started() error {
	u := &w.user
	switch {
	case u.cancelled && u.from == "" && !u.fresh:
		return errors.New("the job was cancelled, and the same command starts it again")
	case u.drained != "":
		return errors.New("the job was drained, and the same command starts it again")
	}
	if u.fresh {
		u.follows = ""
	}
	if u.claim {
		w.watch.claimed[u.from] = true
	}
	u.cancelled, u.doubts, u.stopped = false, false, false
	if u.rewind || u.fresh || w.chance.pick(2) == 0 { // else it is a supervisor, which repeats its command
		u.plain()
	}
	return nil
}

// finishedBefore sees that a process had nothing to do, and says whether that is wrong.
func (u *user) finishedBefore() error {
	if u.stopped {
		return errors.New("the job has stopped with a savepoint, and the same command does not go on from it")
	}
	return nil
}

// ended sees how a process has ended, and reports whether there is nothing more to do.
func (w *World) ended(r jobmaster.Result, err error) (finished bool) {
	u := &w.user
	switch {
	case err != nil:
	case r.Status == jobmaster.Canceled:
		u.plain()
		u.cancelled, u.from = true, r.Savepoint
	case r.Status == jobmaster.Finished && r.Savepoint == "":
		return true
	case r.Status == jobmaster.Finished:
		u.plain()
		if w.watch.drained[r.Savepoint] {
			u.drained = r.Savepoint
		} else {
			u.stopped = true
		}
	}
	return r.Status == jobmaster.AlreadyFinished
}

// ask lets the user ask a running job for something.
func (p *process) ask(detail int, e *jobmaster.Execution) {
	r := jobmaster.NewRequest(jobmaster.Savepoint, savepointDir)
	r.Native = detail%2 == 0
	what := "a savepoint"
	switch detail / 2 % 8 {
	case 0, 1:
	case 2:
		r, what = jobmaster.NewRequest(jobmaster.ConfiguredCheckpoint, ""), "a checkpoint"
	case 3, 4:
		r.Kind, what = coordinator.StopWithSavepoint, "to stop with a savepoint"
	case 5:
		r.Cancel, what = true, "to be cancelled with a savepoint"
	case 6:
		p.note("the user cancels the job")
		p.user.doubts = true
		e.Cancel()
		return
	case 7:
		if r.Kind, what = coordinator.StopWithSavepoint, "to stop with a savepoint"; p.config.Drain {
			r.Drain, what = true, "to be drained"
		}
	}
	p.user.doubts = p.user.doubts || r.Cancel
	p.note("the user asks for %s", what)
	e.Ask(r, func(s jobmaster.SnapshotInfo, err error) {
		if err != nil {
			p.note("he is told: %s", oneLine(err))
			return
		}
		p.note("snapshot %d is taken for him", s.ID)
	})
}

func oneLine(err error) string {
	first, _, _ := strings.Cut(fmt.Sprint(err), "\n")
	return first
}
