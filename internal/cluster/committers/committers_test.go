// These tests play a start and a restart with sinks whose committers note each call in a common book, and fail or panic as a test says. They
// show who is asked what and in which order, what is left of the state afterwards, and that whatever a committer does is an error that names its
// sink.
package committers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/storage"
)

var errLost = errors.New("the connection was lost")

// book is what the committers of a test have been asked, in order, and what goes wrong.
type book struct {
	calls  []string
	pauses int
	fail   map[string]func() error // by "name method"; it may panic
}

func newBook() *book { return &book{fail: map[string]func() error{}} }

// read returns what was noted since it was read last.
func (b *book) read() string {
	defer func() { b.calls = nil }()
	return strings.Join(b.calls, "\n")
}

func (b *book) note(name, method, format string, args ...any) error {
	b.calls = append(b.calls, strings.TrimSpace(name+" "+method+" "+fmt.Sprintf(format, args...)))
	if fail := b.fail[name+" "+method]; fail != nil {
		return fail()
	}
	return nil
}

// times fails n times.
func times(n int, err error) func() error {
	return func() error {
		if n--; n >= 0 {
			return err
		}
		return nil
	}
}

func always(err error) func() error { return func() error { return err } }
func panics() error                 { panic("no") }

// noted is a committer that notes what it is asked. Recover gives back the states of writers in capitals, and one less if that is wrong.
type noted struct {
	name      string
	book      *book
	committed []string
	wrong     bool
}

func (c *noted) Commit(_ context.Context, id int64, pending [][]byte) error {
	return c.book.note(c.name, "Commit", "%d %s", id, pending)
}

func (c *noted) CommittedAfter(_ context.Context, id int64) ([]string, error) {
	return c.committed, c.book.note(c.name, "CommittedAfter", "%d", id)
}

func (c *noted) Recover(_ context.Context, r sink.Recovery) (sink.Recovered, error) {
	err := c.book.note(c.name, "Recover", "%s", told(r))
	return sink.Recovered{Writers: c.capitals(r.Writers), Moved: []string{c.name + ".bak"}}, err
}

func (c *noted) capitals(writers [][]byte) (all [][]byte) {
	for _, w := range writers {
		all = append(all, bytes.ToUpper(w))
	}
	if c.wrong {
		return all[1:]
	}
	return all
}

func (c *noted) Close() error { return c.book.note(c.name, "Close", "") }

// told writes a recovery down.
func told(r sink.Recovery) string {
	s := fmt.Sprintf("%d writers %s", r.Checkpoint, r.Writers)
	for _, p := range r.Pending {
		s += fmt.Sprintf(" pending %d %s", p.Checkpoint, p.Items)
	}
	if r.Fresh {
		s += " fresh"
	}
	if r.Withdraw {
		s += " withdraw"
	}
	return s
}

// checking can tell in advance whether it recovers.
type checking struct{ *noted }

func (c checking) Check(_ context.Context, r sink.Recovery) error {
	return c.book.note(c.name, "Check", "%s", told(r))
}

// single recovers single subtasks.
type single struct{ *noted }

func (c single) RecoverSubtask(_ context.Context, subtask int, r sink.Recovery) (sink.Recovered, error) {
	err := c.book.note(c.name, "RecoverSubtask", "%d: %s", subtask, told(r))
	return sink.Recovered{Writers: c.capitals(r.Writers)}, err
}

// withdraws is what the user has said to a sink that withdraws.
type withdraws bool

func (w withdraws) Withdraws() bool { return bool(w) }

// sinkNode is a sink with a committer; its step is for a test to add to.
func sinkNode(name string, b *book, c sink.Committer) *graph.Node {
	return &graph.Node{Kind: graph.Sink, Name: name, Named: true, Payload: &program.Step{
		Committer: func(_ context.Context, env sink.CommitterEnv) (sink.Committer, error) {
			return c, b.note(name, "open", "for epoch %d", env.Line.Epoch)
		},
	}}
}

// planOf is the plan of a job that writes all its records to all of some sinks, with two subtasks each.
func planOf(t *testing.T, sinks ...*graph.Node) *graph.Plan {
	t.Helper()
	from := &graph.Node{Kind: graph.Source, Name: "in", Named: true, Payload: &program.Step{}}
	g := graph.Graph{Nodes: []*graph.Node{from}}
	for _, n := range sinks {
		n.Inputs = []graph.Edge{{From: from, Partitioning: graph.Rebalance}}
		g.Nodes = append(g.Nodes, n)
	}
	p, err := g.Plan(graph.Defaults{Parallelism: 2})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func env(b *book) Env {
	return Env{
		CommitterEnv: sink.CommitterEnv{Line: sink.Line{ID: "line", Epoch: 3}, Logger: slog.New(slog.DiscardHandler), Now: time.Now},
		Pause:        func(context.Context, time.Duration) { b.pauses++ },
	}
}

// open opens the committers of some sinks and forgets what was noted of that.
func open(t *testing.T, b *book, sinks ...*graph.Node) *Set {
	t.Helper()
	var s Set
	if err := s.Open(t.Context(), planOf(t, sinks...), env(b)); err != nil {
		t.Fatal(err)
	}
	b.read()
	return &s
}

func want(t *testing.T, b *book, lines ...string) {
	t.Helper()
	if got := b.read(); got != strings.Join(lines, "\n") {
		t.Errorf("the committers were asked\n%s\nwant\n%s", got, strings.Join(lines, "\n"))
	}
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

// TestOpen shows that all committers are opened or none, once, and what a set tells of those it holds.
func TestOpen(t *testing.T) {
	b := newBook()
	plain := &graph.Node{Kind: graph.Sink, Name: "plain", Named: true, Payload: &program.Step{}}
	sinks := []*graph.Node{sinkNode("a", b, &noted{name: "a", book: b}), plain, sinkNode("b", b, &noted{name: "b", book: b}), sinkNode("c", b, &noted{name: "c", book: b})}
	p := planOf(t, sinks...)
	var s Set
	for _, fail := range []func() error{always(errLost), panics} {
		b.fail["b open"] = fail
		b.fail["a Close"] = always(errLost) // which is logged: the first error counts
		says(t, s.Open(t.Context(), p, env(b)), `sink "b"`)
		want(t, b, "a open for epoch 3", "b open for epoch 3", "a Close")
		if s.Of(sinks[0].ID()) != nil || s.Names([]job.OperatorID{sinks[0].ID()}) != nil {
			t.Error("a set that could not be opened holds committers")
		}
	}
	clear(b.fail)
	for range 2 {
		if err := s.Open(t.Context(), p, env(b)); err != nil {
			t.Fatal(err)
		}
	}
	want(t, b, "a open for epoch 3", "b open for epoch 3", "c open for epoch 3")
	if s.Of(sinks[0].ID()) == nil || s.Of(plain.ID()) != nil || s.Of(job.OperatorID{}) != nil {
		t.Error("Of returns others than the committers of sinks with two phases")
	}
	if names := s.Names([]job.OperatorID{sinks[3].ID(), sinks[0].ID(), plain.ID()}); !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("names %q", names)
	}
}

// TestClose shows that all committers are closed, whatever one of them does, and that the set may be opened anew.
func TestClose(t *testing.T) {
	b := newBook()
	sinks := []*graph.Node{sinkNode("a", b, &noted{name: "a", book: b}), sinkNode("b", b, &noted{name: "b", book: b}), sinkNode("c", b, &noted{name: "c", book: b})}
	s := open(t, b, sinks...)
	b.fail["a Close"], b.fail["b Close"] = panics, always(errLost)
	says(t, s.Close(), "panic: no", errLost.Error())
	want(t, b, "a Close", "b Close", "c Close")
	if err := s.Close(); err != nil || s.Of(sinks[0].ID()) != nil {
		t.Errorf("after it was closed a set holds something: %v", err)
	}
	if err := s.Open(t.Context(), planOf(t, sinks[0]), env(b)); err != nil {
		t.Error(err)
	}
	want(t, b, "a open for epoch 3")
}

// TestAsk shows what the line is told that sinks have committed: what proves nothing is asked again, and only a few times.
func TestAsk(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, test := range []struct {
		name   string
		ctx    context.Context
		fail   func() error
		asked  int
		want   line.SinkAnswer
		errors string
	}{
		{name: "it answers", asked: 1, want: line.SinkAnswer{Name: "out", Committed: []string{"part-7"}}},
		{name: "it answers late", fail: times(3, errLost), asked: 4, want: line.SinkAnswer{Name: "out", Committed: []string{"part-7"}}},
		{name: "it never answers", fail: always(errLost), asked: 4, errors: "the connection was lost"},
		{name: "it answers late, and the job is stopped", ctx: stopped, fail: times(1, errLost), asked: 1, errors: "the connection was lost"},
		{name: "it cannot tell", fail: always(fmt.Errorf("%w: there is no list", sink.ErrUnknown)), asked: 1,
			want: line.SinkAnswer{Name: "out", Unknown: sink.ErrUnknown.Error() + ": there is no list"}},
		{name: "it says that it is in vain", fail: always(source.Permanent(errLost)), asked: 1, errors: "the connection was lost"},
		{name: "it panics", fail: panics, asked: 1, errors: "panic: no"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook()
			s := open(t, b, sinkNode("out", b, &noted{name: "out", book: b, committed: []string{"part-7"}}))
			b.fail["out CommittedAfter"] = test.fail
			if test.ctx == nil {
				test.ctx = t.Context()
			}
			answers, err := s.Ask(test.ctx, 41)
			want(t, b, slices.Repeat([]string{"out CommittedAfter 41"}, test.asked)...)
			if test.errors != "" {
				says(t, err, `sink "out"`, "after checkpoint 41", test.errors)
			} else if err != nil || !reflect.DeepEqual(answers, []line.SinkAnswer{test.want}) {
				t.Errorf("answers %+v, %v; want %+v", answers, err, test.want)
			}
		})
	}
}

// TestWithdrawal shows what the line is told of who takes back what.
func TestWithdrawal(t *testing.T) {
	b := newBook()
	var sinks []*graph.Node
	for i, w := range []sink.Withdrawer{nil, withdraws(false), withdraws(true)} {
		n := sinkNode(fmt.Sprint(i), b, &noted{name: fmt.Sprint(i), book: b})
		program.StepOf(n).Withdrawer = w
		sinks = append(sinks, n)
	}
	answers, err := open(t, b, sinks...).Ask(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range []line.Withdrawal{line.Unable, line.OnRequest, line.Automatic} {
		if answers[i].Withdrawal != w {
			t.Errorf("sink %d: withdrawal %v, want %v", i, answers[i].Withdrawal, w)
		}
	}
}

// TestEarlier shows that the first sink with output of an earlier run is found. One that cannot tell is taken to have none.
func TestEarlier(t *testing.T) {
	b := newBook()
	s := open(t, b, sinkNode("none", b, &noted{name: "none", book: b}),
		sinkNode("unknown", b, &noted{name: "unknown", book: b}),
		sinkNode("some", b, &noted{name: "some", book: b, committed: []string{"part-1", "part-2"}}))
	b.fail["unknown CommittedAfter"] = always(sink.ErrUnknown)
	if step, output, err := s.Earlier(t.Context()); step != "some" || output != "part-1" || err != nil {
		t.Errorf("%q holds %q, %v", step, output, err)
	}
	b.fail["none CommittedAfter"] = always(errLost)
	_, _, err := s.Earlier(t.Context())
	says(t, err, `sink "none"`, "the connection was lost")
	if step, output, err := new(Set).Earlier(t.Context()); step != "" || output != "" || err != nil {
		t.Errorf("without sinks %q holds %q, %v", step, output, err)
	}
}

// list makes a list state whose bytes are inline.
func list(name string, elements ...[]byte) snapshot.List {
	l := snapshot.List{Name: name, Mode: snapshot.Split}
	for _, e := range elements {
		l.Offsets = append(l.Offsets, int64(len(l.Stream.Inline)))
		l.Stream.Inline = append(l.Stream.Inline, e...)
	}
	l.Stream.Length = int64(len(l.Stream.Inline))
	return l
}

func writers(states ...string) snapshot.List {
	var all [][]byte
	for _, s := range states {
		all = append(all, []byte(s))
	}
	return list(operator.WriterState, all...)
}

func pending(id int64, items ...string) snapshot.List {
	p := sink.Pending{Checkpoint: id}
	for _, item := range items {
		p.Items = append(p.Items, []byte(item))
	}
	return list(operator.PendingState, operator.EncodePending([]sink.Pending{p}).Elements...)
}

// checkpoint7 holds what a sink of two subtasks had: the first has two writers' states and something pending, the second had nothing, unless
// others are given.
func checkpoint7(id job.OperatorID, subtasks ...*snapshot.OperatorSubtask) *snapshot.Metadata {
	if subtasks == nil {
		subtasks = []*snapshot.OperatorSubtask{{Lists: []snapshot.List{writers("x", "yy"), pending(7, "p")}}, nil}
	}
	return &snapshot.Metadata{Checkpoint: 7, Operators: []snapshot.OperatorState{
		{ID: id, Parallelism: len(subtasks), MaxParallelism: 128, Subtasks: subtasks},
	}}
}

// inline opens streams that are inline.
func inline(_ context.Context, s snapshot.Stream) (operator.StreamReader, error) {
	return reader{bytes.NewReader(s.Inline)}, nil
}

type reader struct{ io.ReaderAt }

func (reader) Close() error { return nil }

func once(f func() error) error { return f() }

// held writes down what a sink has in a snapshot, a line for each subtask.
func held(t *testing.T, state *snapshot.OperatorState) (lines []string) {
	t.Helper()
	for _, sub := range state.Subtasks {
		if sub == nil {
			lines = append(lines, "nothing")
			continue
		}
		var all []string
		for _, l := range sub.Lists {
			elements, err := operator.ReadElements(t.Context(), inline, l)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%s %q", l.Name, elements))
		}
		lines = append(lines, strings.Join(all, " "))
	}
	return lines
}

// TestRecover shows that all sinks are asked whether they can recover before the first does, what each is told, and what of its state is left:
// the states of writers that it has returned, where those were which they replace, and nothing pending.
func TestRecover(t *testing.T) {
	b := newBook()
	sinks := []*graph.Node{
		sinkNode("a", b, checking{&noted{name: "a", book: b}}),
		sinkNode("b", b, checking{&noted{name: "b", book: b}}),
		sinkNode("new", b, &noted{name: "new", book: b}),
	}
	s := open(t, b, sinks...)
	meta := checkpoint7(sinks[0].ID(),
		&snapshot.OperatorSubtask{Lists: []snapshot.List{writers("x", "yy"), pending(7, "p"), pending(6, "o")}}, nil,
		&snapshot.OperatorSubtask{Lists: []snapshot.List{pending(7, "q")}},
		&snapshot.OperatorSubtask{Lists: []snapshot.List{writers("z")}})
	other := checkpoint7(sinks[1].ID())
	meta.Operators = append(meta.Operators, other.Operators...)
	how := Recovery{Withdraw: []string{"b"}}
	recovery := []string{
		"7 writers [x yy z] pending 6 [o] pending 7 [p q]",
		"7 writers [x yy] pending 7 [p] withdraw",
	}

	before := []string{`sink-writers ["x" "yy"] sink-pending ["` + `\a\x00\x00\x00\x00\x00\x00\x00p"]`, "nothing"}
	if err := s.Check(t.Context(), meta, how, inline); err != nil {
		t.Fatal(err)
	}
	want(t, b, "a Check "+recovery[0], "b Check "+recovery[1])
	if got := held(t, &meta.Operators[1]); !slices.Equal(got, before) {
		t.Errorf("Check has left %q", got)
	}

	moved, err := s.Recover(t.Context(), meta, how, inline, once)
	if err != nil || !slices.Equal(moved, []string{"a.bak", "b.bak", "new.bak"}) {
		t.Errorf("moved %q, %v", moved, err)
	}
	want(t, b, "a Check "+recovery[0], "b Check "+recovery[1], "a Recover "+recovery[0], "b Recover "+recovery[1], "new Recover 7 writers []")
	if got := held(t, &meta.Operators[0]); !slices.Equal(got, []string{`sink-writers ["X" "YY"]`, "nothing", "", `sink-writers ["Z"]`}) {
		t.Errorf("sink a has %q left", got)
	}
	for _, op := range meta.Operators {
		for _, sub := range op.Subtasks {
			sub.EachStream(func(s *snapshot.Stream) {
				if s.CRC != crc32.Checksum(s.Inline, crc32.MakeTable(crc32.Castagnoli)) {
					t.Errorf("the checksum of %q is wrong", s.Inline)
				}
			})
		}
	}
}

// TestRecoverNew shows a start from nothing, and one of a sink that has another id now than in the snapshot.
func TestRecoverNew(t *testing.T) {
	b := newBook()
	n := sinkNode("a", b, &noted{name: "a", book: b})
	n.Former = []string{"former"}
	s := open(t, b, n)
	if _, err := s.Recover(t.Context(), nil, Recovery{Fresh: true}, inline, once); err != nil {
		t.Error(err)
	}
	want(t, b, "a Recover 0 writers [] fresh")
	meta := checkpoint7(job.OperatorIDOf("former"))
	if _, err := s.Recover(t.Context(), meta, Recovery{}, inline, once); err != nil {
		t.Error(err)
	}
	want(t, b, "a Recover 7 writers [x yy] pending 7 [p]")
	if got := held(t, &meta.Operators[0]); !slices.Equal(got, []string{`sink-writers ["X" "YY"]`, "nothing"}) {
		t.Errorf("it has %q left", got)
	}
}

// TestRecoverFails shows what a recovery comes to that does not succeed: which sinks have recovered, and that the next one goes on from there.
func TestRecoverFails(t *testing.T) {
	twice := func(f func() error) error { return errors.Join(f(), f()) }
	const all = "7 writers [x yy] pending 7 [p]"
	for _, test := range []struct {
		name   string
		fail   string
		how    func() error
		wrong  bool
		try    func(func() error) error
		calls  []string
		errors string
		moved  int
	}{
		{name: "one cannot", fail: "b Check", how: always(sink.ErrCannotWithdraw), calls: []string{"a Check " + all, "b Check 7 writers []"}, errors: `sink "b"`},
		{name: "one panics when it is asked", fail: "b Check", how: panics, calls: []string{"a Check " + all, "b Check 7 writers []"}, errors: `sink "b": panic: no`},
		{name: "one fails", fail: "b Recover", how: always(errLost), moved: 2,
			calls: []string{"a Check " + all, "b Check 7 writers []", "a Recover " + all, "b Recover 7 writers []"}, errors: `sink "b": the connection was lost`},
		{name: "one panics", fail: "a Recover", how: panics,
			calls: []string{"a Check " + all, "b Check 7 writers []", "a Recover " + all}, errors: `sink "a": panic: no`},
		{name: "it is tried twice", try: twice, moved: 4, // each time something is moved
			calls: []string{"a Check " + all, "b Check 7 writers []", "a Recover " + all, "a Recover " + all, "b Recover 7 writers []", "b Recover 7 writers []"}},
		{name: "a writer's state is missing", wrong: true, moved: 1,
			calls: []string{"a Check " + all, "b Check 7 writers []", "a Recover " + all}, errors: `sink "a": recovery returned 1 writer states for 2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook()
			sinks := []*graph.Node{
				sinkNode("a", b, checking{&noted{name: "a", book: b, wrong: test.wrong}}),
				sinkNode("b", b, checking{&noted{name: "b", book: b}}),
			}
			s := open(t, b, sinks...)
			if test.fail != "" {
				b.fail[test.fail] = test.how
			}
			if test.try == nil {
				test.try = once
			}
			meta := checkpoint7(sinks[0].ID())
			moved, err := s.Recover(t.Context(), meta, Recovery{}, inline, test.try)
			want(t, b, test.calls...)
			if len(moved) != test.moved {
				t.Errorf("moved %q", moved)
			}
			if test.errors == "" && err == nil {
				return
			}
			says(t, err, test.errors)

			// What has recovered has nothing pending, and what has not is as it was.
			recovered := test.name == "one fails"
			left := strings.Join(held(t, &meta.Operators[0]), "\n")
			if strings.Contains(left, operator.PendingState) == recovered {
				t.Errorf("sink a has %s", left)
			}
		})
	}
}

// TestUnreadable shows that state which cannot be read is tried again, unless it is proved to be damaged.
func TestUnreadable(t *testing.T) {
	for _, test := range []struct {
		name   string
		fails  int
		err    error
		opened int
		ok     bool
	}{
		{"it can be read late", 3, errLost, 5, true}, // the list of writers, and then that of what is pending
		{"it can never be read", 100, errLost, 4, false},
		{"it is not there", 100, fmt.Errorf("open state: %w", storage.ErrNotExist), 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook()
			n := sinkNode("a", b, &noted{name: "a", book: b})
			s := open(t, b, n)
			opened, fail := 0, times(test.fails, test.err)
			err := s.Check(t.Context(), checkpoint7(n.ID()), Recovery{}, func(ctx context.Context, x snapshot.Stream) (operator.StreamReader, error) {
				opened++
				if err := fail(); err != nil {
					return nil, err
				}
				return inline(ctx, x)
			})
			if (err == nil) != test.ok || opened != test.opened || b.pauses != min(test.opened-1, 3) {
				t.Errorf("opened %d times with %d pauses, %v", opened, b.pauses, err)
			}
			if !test.ok {
				says(t, err, `sink "a"`, `read state "sink-writers"`)
			}
		})
	}

	b := newBook()
	n := sinkNode("a", b, &noted{name: "a", book: b})
	s := open(t, b, n)
	damaged := checkpoint7(n.ID(), &snapshot.OperatorSubtask{Lists: []snapshot.List{list(operator.PendingState, []byte("short"))}})
	says(t, s.Check(t.Context(), damaged, Recovery{}, inline), `sink "a"`, "ends too early")
}

// TestWithoutPending shows what of a checkpoint is dealt out once sinks have recovered, and that the checkpoint itself stays as it was.
func TestWithoutPending(t *testing.T) {
	b := newBook()
	n := sinkNode("a", b, &noted{name: "a", book: b})
	s := open(t, b, n)
	if s.WithoutPending(nil) != nil {
		t.Error("nothing became something")
	}
	meta := checkpoint7(n.ID())
	foreign := checkpoint7(job.OperatorIDOf("no sink")).Operators[0]
	meta.Operators = append(meta.Operators, foreign)
	before := []string{strings.Join(held(t, &meta.Operators[0]), "\n"), strings.Join(held(t, &meta.Operators[1]), "\n")}
	without := s.WithoutPending(meta)
	if got := held(t, &without.Operators[0]); !slices.Equal(got, []string{`sink-writers ["x" "yy"]`, "nothing"}) || without.Checkpoint != 7 {
		t.Errorf("without what is pending there is %q", got)
	}
	if got := strings.Join(held(t, &without.Operators[1]), "\n"); got != before[1] {
		t.Errorf("what is no sink's has become %s", got)
	}
	for i := range meta.Operators {
		if got := strings.Join(held(t, &meta.Operators[i]), "\n"); got != before[i] {
			t.Errorf("the checkpoint itself has become %s", got)
		}
	}
}

// region deals checkpoint7 out as for a restart of some subtasks of all vertices of a plan.
func region(t *testing.T, s *Set, p *graph.Plan, meta *snapshot.Metadata, subtasks ...int) Region {
	t.Helper()
	restored, err := deal.Again(s.WithoutPending(meta), p)
	if err != nil {
		t.Fatal(err)
	}
	r := Region{Plan: p, Tasks: map[job.Subtask]bool{}, Meta: meta, Restored: &restored}
	for _, v := range p.Vertices {
		for _, i := range subtasks {
			r.Tasks[job.Subtask{Vertex: v.ID(), Index: i}] = true
		}
	}
	return r
}

// TestRecoverRegion shows that a sink puts right the subtasks of a region and no others, with what each of them had, and that the states that it
// returns are what their writers begin with.
func TestRecoverRegion(t *testing.T) {
	b := newBook()
	n := sinkNode("a", b, single{&noted{name: "a", book: b}})
	p := planOf(t, n)
	s := new(Set)
	if err := s.Open(t.Context(), p, env(b)); err != nil {
		t.Fatal(err)
	}
	b.read()
	sub := func(w, item string) *snapshot.OperatorSubtask {
		return &snapshot.OperatorSubtask{Lists: []snapshot.List{writers(w), pending(7, item)}}
	}
	meta := checkpoint7(n.ID(), sub("x", "p"), sub("y", "q"))
	for _, test := range []struct {
		name     string
		meta     *snapshot.Metadata
		subtasks []int
		want     []string
		left     []string // of the writers, by subtask
	}{
		{"one subtask", meta, []int{1}, []string{"a RecoverSubtask 1: 7 writers [y] pending 7 [q]"}, []string{"x", "Y"}},
		{"both", meta, []int{0, 1}, []string{"a RecoverSubtask 0: 7 writers [x] pending 7 [p]", "a RecoverSubtask 1: 7 writers [y] pending 7 [q]"}, []string{"X", "Y"}},
		{"none", meta, nil, nil, []string{"x", "y"}},
		{"from nothing", nil, []int{0}, []string{"a RecoverSubtask 0: 0 writers []"}, nil},
		// It was all committed when the job first went on at this parallelism.
		{"another parallelism", checkpoint7(n.ID(), sub("x", "p")), []int{0}, []string{"a RecoverSubtask 0: 7 writers [x]"}, []string{"X", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := region(t, s, p, test.meta, test.subtasks...)
			if err := s.RecoverRegion(t.Context(), r, inline); err != nil {
				t.Fatal(err)
			}
			want(t, b, test.want...)
			for i, w := range test.left {
				expected := []string{"nothing"}
				if w != "" {
					expected = []string{fmt.Sprintf("sink-writers [%q]", w)}
				}
				state := &snapshot.OperatorState{Subtasks: []*snapshot.OperatorSubtask{r.Restored.State(n.ID(), i)}}
				if got := held(t, state); !slices.Equal(got, expected) {
					t.Errorf("subtask %d begins with %q, want %q", i, got, expected)
				}
			}
		})
	}
}

// TestRecoverRegionFails shows whom an error names, and which sinks recover subtask by subtask at all.
func TestRecoverRegionFails(t *testing.T) {
	for _, test := range []struct {
		name   string
		how    func() error
		wrong  bool
		errors string
	}{
		{"it fails", always(errLost), false, "the connection was lost"},
		{"it panics", panics, false, "panic: no"},
		{"a writer's state is missing", nil, true, "recovery returned 0 writer states for 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook()
			n := sinkNode("a", b, single{&noted{name: "a", book: b, wrong: test.wrong}})
			s := open(t, b, n)
			b.fail["a RecoverSubtask"] = test.how
			sub := &snapshot.OperatorSubtask{Lists: []snapshot.List{writers("x")}}
			r := region(t, s, planOf(t, n), checkpoint7(n.ID(), sub, sub), 1)
			says(t, s.RecoverRegion(t.Context(), r, inline), `sink "a", subtask 1: `+test.errors)
		})
	}
	b := newBook()
	able, unable := sinkNode("able", b, single{&noted{name: "able", book: b}}), sinkNode("unable", b, &noted{name: "unable", book: b})
	s := open(t, b, able, unable)
	if other := (&graph.Node{}); !s.RecoversSingly(able) || s.RecoversSingly(unable) || !s.RecoversSingly(other) {
		t.Error("those recover singly that can, and those that have nothing to recover")
	}
}

// TestOneAtATime shows that a committer is never in two calls at once, whoever calls.
func TestOneAtATime(t *testing.T) {
	var inside, n atomic.Int32
	busy := func() error {
		if inside.Add(1) > 1 {
			t.Error("two calls at once")
		}
		for range 100 {
			runtime.Gosched() // whoever may run does
		}
		inside.Add(-1)
		n.Add(1)
		return nil
	}
	b := newBook()
	for _, method := range []string{"Commit", "CommittedAfter", "Check", "Recover", "RecoverSubtask", "Close"} {
		b.fail["a "+method] = busy
	}
	committer := &noted{name: "a", book: b}
	s := open(t, b, sinkNode("a", b, struct {
		checking
		sink.SubtaskRecoverer
	}{checking{committer}, single{committer}}))
	c := s.committers[s.nodes[0].ID()]
	var wg sync.WaitGroup
	wg.Go(func() { c.Commit(t.Context(), 1, nil) })
	wg.Go(func() { c.Commit(t.Context(), 2, nil) })
	wg.Go(func() { c.CommittedAfter(t.Context(), 1) })
	wg.Go(func() { c.Check(t.Context(), sink.Recovery{}) })
	wg.Go(func() { c.Recover(t.Context(), sink.Recovery{}) })
	wg.Go(func() { c.RecoverSubtask(t.Context(), 0, sink.Recovery{}) })
	wg.Go(func() { c.Close() })
	wg.Wait()
	if n.Load() != 7 {
		t.Errorf("%d calls", n.Load())
	}
}
