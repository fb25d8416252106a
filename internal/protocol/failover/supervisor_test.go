package failover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/script"
)

// TestRestarts plays testdata/restarts: which tasks of a job stop and start again when something fails.
//
//	vertex a 2 forward:x all:y   a vertex of 2 subtasks with its inputs; "joined" behind it: its subtasks restart together
//	regions                      the regions of the vertices so far
//	strategy fixed-delay k=v     begins, with all tasks deployed; "whole" in front: everything restarts with any task
//	fail a/0 5s                  a task fails, 5 s after the beginning; "permanent" may follow
//	global 5s                    something fails that no task is to blame for
//	end a/0 a/1                  tasks have ended
//	due 1, restored 1, widen 1, restore-failed 1 5s, planned, halt
//	rescaled a 3                 a has another parallelism from now on
//	tell a/0                     the restart that a task is part of
func TestRestarts(t *testing.T) {
	script.Run(t, "testdata/restarts/*.txt", func() script.Player { return (&restarts{ids: map[string]int{}}).play })
}

type restarts struct {
	vertices []Vertex
	names    []string
	ids      map[string]int // of names in vertices
	s        *Supervisor
}

func (p *restarts) play(t *testing.T, words []string) []string {
	at := func(i int) time.Time { return epoch.Add(duration(t, words[i])) }
	permanent := words[len(words)-1] == "permanent"
	switch words[0] {
	case "vertex":
		p.vertex(t, words[1:])
		return nil
	case "regions":
		return p.regions(NewRegions(p.vertices))
	case "strategy":
		p.strategy(t, words[1:])
		return nil
	case "fail":
		p.s.TaskFailed(p.task(words[1]), permanent, at(2), 0.5)
	case "global":
		p.s.Failed(permanent, at(1), 0.5)
	case "end":
		for _, w := range words[1:] {
			p.s.TaskEnded(p.task(w))
		}
	case "due":
		p.s.Due(restartID(t, words[1]))
	case "restored":
		p.s.Restored(restartID(t, words[1]))
	case "restore-failed":
		p.s.RestoreFailed(restartID(t, words[1]), permanent, at(2), 0.5)
	case "widen":
		p.s.Widen(restartID(t, words[1]))
	case "planned":
		p.s.Restart()
	case "halt":
		p.s.Halt()
	case "rescaled": // in 3: the vertex has so many subtasks now
		p.vertices[p.ids[words[1]]].Parallelism = int(number(t, words[2]))
		p.s.Rescaled(NewRegions(p.vertices))
	case "tell": // in/0: what is known of the restart of a task
		id := p.s.RestartOf(p.task(words[1]))
		n, delay := p.s.Scope(id)
		return []string{fmt.Sprintf("restart %d of %d tasks after %v, current %v, any %v", id, n, delay, p.s.Current(id), p.s.Restarting())}
	default:
		t.Fatalf("unknown command %q", words)
	}
	return p.actions()
}

func (p *restarts) vertex(t *testing.T, words []string) {
	v := Vertex{ID: job.VertexID(job.OperatorIDOf(words[0])), Parallelism: int(number(t, words[1]))}
	for _, w := range words[2:] {
		how, from, _ := strings.Cut(w, ":")
		if how == "joined" {
			v.Joined = true
			continue
		}
		v.Inputs = append(v.Inputs, Input{From: p.ids[from], AllToAll: how == "all"})
	}
	p.ids[words[0]] = len(p.vertices)
	p.vertices, p.names = append(p.vertices, v), append(p.names, words[0])
}

func (p *restarts) strategy(t *testing.T, words []string) {
	regions := NewRegions
	if words[0] == "whole" {
		regions, words = Whole, words[1:]
	}
	kinds := map[string]Kind{"none": None, "fixed-delay": FixedDelay, "failure-rate": FailureRate, "exponential-delay": ExponentialDelay}
	cfg := Default(kinds[words[0]])
	for _, w := range words[1:] {
		set(t, &cfg, w)
	}
	p.s = NewSupervisor(New(cfg), regions(p.vertices))
	p.s.Started()
}

func (p *restarts) task(word string) job.Subtask {
	name, index, _ := strings.Cut(word, "/")
	i, _ := strconv.Atoi(index)
	return job.Subtask{Vertex: p.vertices[p.ids[name]].ID, Index: i}
}

func (p *restarts) regions(r *Regions) (lines []string) {
	for i := range r.Len() {
		lines = append(lines, fmt.Sprintf("%d: %s", i, p.tell(r.Tasks(i))))
	}
	return lines
}

func (p *restarts) tell(tasks []job.Subtask) string {
	var words []string
	for _, t := range tasks {
		v := slices.IndexFunc(p.vertices, func(v Vertex) bool { return v.ID == t.Vertex })
		words = append(words, fmt.Sprintf("%s/%d", p.names[v], t.Index))
	}
	return strings.Join(words, " ")
}

func (p *restarts) actions() (lines []string) {
	for _, a := range p.s.Actions() {
		switch a := a.(type) {
		case Stop:
			lines = append(lines, "stop "+p.tell(a.Tasks))
		case Wait:
			lines = append(lines, fmt.Sprintf("wait %v for restart %d", a.Delay, a.Restart))
		case Restore:
			scope := ""
			if a.Global {
				scope = "global, "
			}
			lines = append(lines, fmt.Sprintf("restore for restart %d: %s%s", a.Restart, scope, p.tell(a.Tasks)))
		case GiveUp:
			lines = append(lines, "give up")
		}
	}
	return lines
}

func restartID(t *testing.T, word string) RestartID { return RestartID(number(t, word)) }

// TestRestartsOfManyTasks shows that what a failure costs grows with the tasks and not with their square.
func TestRestartsOfManyTasks(t *testing.T) {
	const n = 20_000
	v := job.VertexID(job.OperatorIDOf("v"))
	s := NewSupervisor(New(Default(FixedDelay)), NewRegions([]Vertex{{ID: v, Parallelism: n}}))
	s.Started()
	s.Failed(false, epoch, 0)
	s.Due(1)
	for i := range n {
		s.TaskEnded(job.Subtask{Vertex: v, Index: i})
	}
	actions := s.Actions()
	if r, ok := actions[len(actions)-1].(Restore); !ok || len(r.Tasks) != n {
		t.Errorf("the last action is %T", actions[len(actions)-1])
	}
}

// TestHistory shows what is kept of failures: the last ones, with those that came along.
func TestHistory(t *testing.T) {
	h := NewHistory(2)
	h.Add(1, Failure{Text: "one"})
	h.Add(1, Failure{Text: "with one"})
	early, _ := h.Failures()
	for range 3 {
		h.Add(1, Failure{Text: "too many"})
	}
	h.Add(2, Failure{Text: "two"})
	if all, truncated := h.Failures(); !truncated || len(all) != 2 || all[0].Text != "two" || len(all[1].Concurrent) != 2 || len(early[0].Concurrent) != 1 {
		t.Errorf("failures %+v, truncated %v", all, truncated)
	}
	h.Add(0, Failure{Text: "the last"})
	h.Add(0, Failure{Text: "behind it"})
	if all, _ := h.Failures(); len(all) != 2 || all[0].Text != "behind it" || all[0].Restarted {
		t.Errorf("failures %+v", all)
	}
	none := NewHistory(0)
	none.Add(1, Failure{})
	if all, truncated := none.Failures(); len(all) != 0 || !truncated {
		t.Errorf("failures %+v in a history of none", all)
	}
}
