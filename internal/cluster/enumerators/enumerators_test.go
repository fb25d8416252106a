// These tests hand out the splits of sources whose enumerators note each call in a common book, and fail or panic as a test says. They show who
// gets what, who waits, what comes back after a restart, and that whatever an enumerator does is an error that names its source.
package enumerators

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/source"
)

var errLost = errors.New("the connection was lost")

// book is what the enumerators of a test have been asked, in order, and what goes wrong.
type book struct {
	calls []string
	fail  map[string]func() error // by "name method"; it may panic
	envs  map[string]source.EnumeratorEnv
}

func newBook() *book {
	return &book{fail: map[string]func() error{}, envs: map[string]source.EnumeratorEnv{}}
}

func (b *book) note(name, method, format string, args ...any) error {
	b.calls = append(b.calls, strings.TrimSpace(name+" "+method+" "+fmt.Sprintf(format, args...)))
	if fail := b.fail[name+" "+method]; fail != nil {
		return fail()
	}
	return nil
}

func fails() error  { return errLost }
func panics() error { panic("no") }

// want checks what was noted since it was checked last.
func want(t *testing.T, b *book, lines ...string) {
	t.Helper()
	if !slices.Equal(b.calls, lines) {
		t.Errorf("the enumerators were asked %q, want %q", b.calls, lines)
	}
	b.calls = nil
}

// says checks that an error has some parts.
func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got the error %v, want one that says %q", err, part)
		}
	}
}

// queue is an enumerator with a queue of splits. When that is empty readers wait, until it has ended.
type queue struct {
	name   string
	book   *book
	splits []string
	ended  bool
}

func (q *queue) Next(subtask int) (source.Split, source.Assignment, error) {
	if err := q.book.note(q.name, "Next", "%d", subtask); err != nil {
		return source.Split{}, source.Assigned, err
	}
	if len(q.splits) > 0 {
		s := source.Split{ID: q.splits[0]}
		q.splits = q.splits[1:]
		return s, source.Assigned, nil
	}
	if q.ended {
		return source.Split{}, source.NoMore, nil
	}
	return source.Split{}, source.Wait, nil
}

func (q *queue) AddBack(subtask int, splits []source.Split) {
	for _, s := range splits {
		q.splits = append(q.splits, s.ID)
	}
	_ = q.book.note(q.name, "AddBack", "%d %s", subtask, splits)
}

func (q *queue) Snapshot() ([]byte, error) {
	err := q.book.note(q.name, "Snapshot", "")
	return []byte("state of " + q.name), err
}

func (q *queue) Close() error { return q.book.note(q.name, "Close", "") }

// listening is told of checkpoints and of readers that begin again.
type listening struct{ *queue }

func (l listening) CheckpointComplete(id int64) error {
	return l.book.note(l.name, "CheckpointComplete", "%d", id)
}

func (l listening) CheckpointAborted(id int64) error {
	return l.book.note(l.name, "CheckpointAborted", "%d", id)
}

func (l listening) SubtaskReset(subtask int, id int64) {
	_ = l.book.note(l.name, "SubtaskReset", "%d to %d", subtask, id)
}

// sourceNode is a source with an enumerator.
func sourceNode(name string, b *book, e source.Enumerator) *graph.Node {
	return &graph.Node{Kind: graph.Source, Name: name, Named: true, Payload: &program.Step{
		Enumerator: func(_ context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
			b.envs[name] = env
			err := b.note(name, "open", "for %d, from %d with %q", env.Parallelism, env.RestoredFrom, restored)
			return e, err
		},
	}}
}

// planOf is the plan of a job that writes what sources bring to one sink. There are three subtasks of each.
func planOf(t *testing.T, sources ...*graph.Node) *graph.Plan {
	t.Helper()
	out := &graph.Node{Kind: graph.Sink, Name: "out", Named: true, Payload: &program.Step{}}
	for _, n := range sources {
		out.Inputs = append(out.Inputs, graph.Edge{From: n, Partitioning: graph.Rebalance})
	}
	g := graph.Graph{Nodes: append(slices.Clone(sources), out)}
	p, err := g.Plan(graph.Defaults{Parallelism: 3})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// started starts the enumerator of one source for a new job, and forgets what was noted of that.
func started(t *testing.T, b *book, e source.Enumerator) (*Enumerator, Set) {
	t.Helper()
	n := sourceNode("in", b, e)
	s, err := Start(planOf(t, n), deal.Restored{}, Env{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b.calls = nil
	return s[n.ID()], s
}

func reader(subtask, number int) job.Attempt {
	return job.Attempt{Subtask: job.Subtask{Index: subtask}, Number: number}
}

// TestStart shows what enumerators are started with: those of sources that go on, those of sources that a checkpoint does not know, and none of
// sources that had finished.
func TestStart(t *testing.T) {
	b := newBook()
	known, done, added := sourceNode("known", b, &queue{name: "known", book: b}), sourceNode("done", b, nil), sourceNode("added", b, &queue{name: "added", book: b})
	p := planOf(t, known, done, added)
	meta := &snapshot.Metadata{Checkpoint: 7}
	for _, n := range []*graph.Node{known, done} {
		meta.Operators = append(meta.Operators, snapshot.OperatorState{
			ID: n.ID(), Parallelism: 2, MaxParallelism: 128, Coordinator: []byte("before"), Subtasks: make([]*snapshot.OperatorSubtask, 2), FullyFinished: n == done,
		})
	}
	restored, err := deal.Out(meta, p)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(p, restored, Env{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	want(t, b, `known open for 3, from 7 with "before"`, `added open for 3, from 7 with ""`)
	if len(s) != 2 || s[known.ID()] == nil || s[added.ID()] == nil {
		t.Errorf("the set is %v", s)
	}
	states, err := s.Snapshot(8, []job.OperatorID{known.ID(), done.ID(), added.ID()})
	if err != nil || len(states) != 2 || string(states[known.ID()]) != "state of known" || string(states[added.ID()]) != "state of added" {
		t.Errorf("the states are %q, %v", states, err)
	}
}

// TestStartFails shows that all enumerators are started or none.
func TestStartFails(t *testing.T) {
	for name, fail := range map[string]func() error{"it fails": fails, "it panics": panics} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			first, second := sourceNode("first", b, &queue{name: "first", book: b}), sourceNode("second", b, nil)
			b.fail["second open"] = fail
			s, err := Start(planOf(t, first, second), deal.Restored{}, Env{Logger: slog.New(slog.DiscardHandler)})
			says(t, err, `source "second"`)
			if s != nil {
				t.Errorf("there is a set all the same: %v", s)
			}
			want(t, b, `first open for 3, from 0 with ""`, `second open for 3, from 0 with ""`, "first Close")
		})
	}
}

// TestNews shows that what enumerators tell by themselves is posted with the source that it is of; before an enumerator is in its set there is
// none to tell it by.
func TestNews(t *testing.T) {
	b := newBook()
	var posted []func()
	var told []string
	var s Set
	n := sourceNode("in", b, &queue{name: "in", book: b})
	p := planOf(t, n)
	news := &News{}
	s, err := Start(p, deal.Restored{}, Env{Logger: slog.New(slog.DiscardHandler), Post: func(f func()) { posted = append(posted, f) }, News: news})
	if err != nil {
		t.Fatal(err)
	}
	b.envs["in"].Changed()
	b.envs["in"].Backlog(true)
	if len(told) > 0 {
		t.Errorf("told at once: %q", told)
	}
	news.Changed = func(id job.OperatorID) { told = append(told, fmt.Sprint("changed ", id == n.ID())) }
	news.Backlog = func(id job.OperatorID, from *Enumerator, on bool) {
		told = append(told, fmt.Sprint("backlog ", id == n.ID(), " ", from == s[id], " ", on))
	}
	for _, f := range posted {
		f()
	}
	if !slices.Equal(told, []string{"changed true", "backlog true true true"}) {
		t.Errorf("told %q", told)
	}
}

// TestWaiting shows who waits: readers for which there is no split, in the order of their subtasks, until they are told to ask again, or begin
// again.
func TestWaiting(t *testing.T) {
	b := newBook()
	q := &queue{name: "in", book: b, splits: []string{"a"}}
	e, _ := started(t, b, q)
	next := func(a job.Attempt, split string, what source.Assignment) {
		t.Helper()
		if s, w, err := e.Next(a); err != nil || s.ID != split || w != what {
			t.Errorf("%v: split %q, %v, %v", a, s.ID, w, err)
		}
	}
	next(reader(0, 1), "a", source.Assigned)
	next(reader(2, 1), "", source.Wait)
	next(reader(1, 4), "", source.Wait)
	next(reader(0, 1), "", source.Wait)
	next(reader(0, 1), "", source.Wait) // it asks again by itself
	if _, err := e.Reset(0, 0); err != nil {
		t.Fatal(err)
	}
	if got := e.Waiting(); !slices.Equal(got, []job.Attempt{reader(1, 4), reader(2, 1)}) {
		t.Errorf("%v wait", got)
	}
	if got := e.Waiting(); len(got) > 0 {
		t.Errorf("%v wait still", got)
	}
	q.splits, q.ended = nil, true
	next(reader(1, 4), "", source.NoMore)
	if got := e.Waiting(); len(got) > 0 {
		t.Errorf("%v wait for nothing", got)
	}
}

// TestReset shows what comes back to the enumerator when a subtask begins again alone: what it was handed since the checkpoint, and that it is told
// of readers if it listens.
func TestReset(t *testing.T) {
	for _, listens := range []bool{false, true} {
		t.Run(fmt.Sprintf("listens=%v", listens), func(t *testing.T) {
			b := newBook()
			q := &queue{name: "in", book: b, splits: []string{"a", "b", "c", "d", "e"}}
			var enumerator source.Enumerator = q
			told := func(line string) []string { return nil }
			if listens {
				enumerator, told = listening{q}, func(line string) []string { return []string{line} }
			}
			e, s := started(t, b, enumerator)
			give := func(subtasks ...int) {
				t.Helper()
				for _, i := range subtasks {
					if _, _, err := e.Next(reader(i, 1)); err != nil {
						t.Fatal(err)
					}
				}
				b.calls = nil
			}
			reset := func(subtask int, to job.CheckpointID, known bool, lines ...string) {
				t.Helper()
				if got, err := e.Reset(subtask, to); err != nil || got != known {
					t.Errorf("subtask %d to %d: known %v, %v", subtask, to, got, err)
				}
				want(t, b, lines...)
			}
			give(0, 1) // a, b
			if _, err := s.Snapshot(1, []job.OperatorID{e.node.ID()}); err != nil {
				t.Fatal(err)
			}
			give(0, 1, 0) // c, d, e
			reset(0, 1, true, append([]string{"in AddBack 0 [{c } {e }]"}, told("in SubtaskReset 0 to 1")...)...)
			reset(0, 1, true, told("in SubtaskReset 0 to 1")...) // it has been given nothing since
			reset(1, 0, true, append([]string{"in AddBack 1 [{b } {d }]"}, told("in SubtaskReset 1 to 0")...)...)
			s.Complete(1)
			reset(0, 0, false) // nobody goes back so far any more
			give(2)            // c once more
			reset(2, 1, true, append([]string{"in AddBack 2 [{c }]"}, told("in SubtaskReset 2 to 1")...)...)
			reset(2, 5, false)
		})
	}
}

// TestTell shows that enumerators are told of checkpoints if they want to know.
func TestTell(t *testing.T) {
	b := newBook()
	complete := func(l source.CheckpointListener) error { return l.CheckpointComplete(4) }
	e, _ := started(t, b, &queue{name: "in", book: b})
	if err := e.Tell(complete); err != nil {
		t.Error(err)
	}
	want(t, b)
	e, _ = started(t, b, listening{&queue{name: "in", book: b}})
	if err := e.Tell(complete); err != nil {
		t.Error(err)
	}
	want(t, b, "in CheckpointComplete 4")
}

// TestErrors shows that whatever an enumerator does is an error that names its source, and that nothing is noted of what has failed.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		method string
		call   func(s Set, e *Enumerator) error
	}{
		{"Next", func(_ Set, e *Enumerator) error { _, _, err := e.Next(reader(1, 1)); return err }},
		{"Snapshot", func(s Set, e *Enumerator) error { _, err := s.Snapshot(1, []job.OperatorID{e.node.ID()}); return err }},
		{"CheckpointComplete", func(_ Set, e *Enumerator) error {
			return e.Tell(func(l source.CheckpointListener) error { return l.CheckpointComplete(1) })
		}},
		{"CheckpointAborted", func(_ Set, e *Enumerator) error {
			return e.Tell(func(l source.CheckpointListener) error { return l.CheckpointAborted(1) })
		}},
		{"AddBack", func(_ Set, e *Enumerator) error { _, err := e.Reset(0, 0); return err }},
		{"SubtaskReset", func(_ Set, e *Enumerator) error { _, err := e.Reset(0, 0); return err }},
	} {
		for name, fail := range map[string]func() error{"fails": fails, "panics": panics} {
			if name == "fails" && (test.method == "AddBack" || test.method == "SubtaskReset") {
				continue // they return nothing
			}
			t.Run(test.method+" "+name, func(t *testing.T) {
				b := newBook()
				e, s := started(t, b, listening{&queue{name: "in", book: b, splits: []string{"a"}}})
				if _, _, err := e.Next(reader(0, 1)); err != nil {
					t.Fatal(err)
				}
				b.fail["in "+test.method] = fail
				says(t, test.call(s, e), `source "in"`)
				clear(b.fail)
				if len(e.Waiting()) > 0 {
					t.Error("somebody waits")
				}
				if known, err := e.Reset(1, 1); known || err != nil {
					t.Errorf("a checkpoint is known for which there is no state: %v", err)
				}
			})
		}
	}
}

// TestClose shows that all enumerators are closed, whatever they do.
func TestClose(t *testing.T) {
	for name, fail := range map[string]func() error{"fails": fails, "panics": panics} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			first, second := sourceNode("first", b, &queue{name: "first", book: b}), sourceNode("second", b, &queue{name: "second", book: b})
			s, err := Start(planOf(t, first, second), deal.Restored{}, Env{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			b.calls = nil
			b.fail["first Close"], b.fail["second Close"] = fail, fail
			var log strings.Builder
			s.Close(slog.New(slog.NewTextHandler(&log, nil)))
			slices.Sort(b.calls)
			want(t, b, "first Close", "second Close")
			for _, step := range []string{"step=first", "step=second"} {
				if !strings.Contains(log.String(), step) {
					t.Errorf("nobody is told of %s: %s", step, log.String())
				}
			}
		})
	}
	Set(nil).Close(nil) // there is nothing to close
}
