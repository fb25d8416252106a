package plan

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/assign"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
)

var update = flag.Bool("update", false, "rewrite testdata")

// TestPlan plans one snapshot for several jobs, and compares what a user reads with testdata/plan.txt: every fate, finished steps, renamed
// ones, and the text of every refusal. Whether a start does what is planned is shown by TestChangedJobs in the root package.
func TestPlan(t *testing.T) {
	integer, text := schema[int64](t), schema[string](t)
	sum := stateform.State{Name: "sum", Kind: stateform.Value, Elem: integer}
	sums := stateform.Form{Key: integer, Keyed: []stateform.State{sum, {Name: "idle", Kind: stateform.Timer, Clock: "event"}}}
	source := stateform.Form{Lists: []stateform.State{{Name: "source-splits", Kind: stateform.Split}}}
	sink := stateform.Form{Lists: []stateform.State{{Name: snapshot.UncommittedList, Kind: stateform.Split}}}
	rules := stateform.Form{Lists: []stateform.State{
		{Name: "all", Kind: stateform.Union, Elem: text}, {Name: "rules", Kind: stateform.Broadcast, Elem: text}, {Name: "own", Kind: stateform.Split, Elem: text},
	}}
	stored := map[string]stateform.Form{"in": source, "sums": sums, "rules": rules, "out": sink, "done": {}}
	meta := &snapshot.Metadata{Checkpoint: 7, KeyHash: keyhash.Name, GroupRule: keygroup.GroupRule, Operators: []snapshot.OperatorState{
		state("in", list("source-splits", snapshot.Split)), state("sums", keyed()), state("rules", list("all", snapshot.Union), list("rules", snapshot.Broadcast), list("own", snapshot.Split)),
		state("out", list(snapshot.UncommittedList, snapshot.Split)), state("done"),
	}}
	meta.Operators[0].Coordinator = []byte{1}
	meta.Operators[4].FullyFinished = true
	all := []step{{name: "in", form: source, source: true}, {name: "sums", form: sums}, {name: "rules", form: rules}, {name: "out", form: sink}, {name: "done"}}
	change := func(i int, s step) []step {
		changed := append([]step(nil), all...)
		changed[i] = s
		return changed
	}
	allow := assign.Options{AllowNonRestored: true}
	evolved := change(1, step{name: "sums", form: stateform.Form{Key: integer, Keyed: []stateform.State{
		{Name: "total", Former: []string{"sum"}, Kind: stateform.Value, Elem: schema[[]*int64](t)}, {Name: "quiet", Former: []string{"idle"}, Kind: stateform.Timer, Clock: "event"},
	}}})
	evolved[2].form = stateform.Form{Lists: []stateform.State{
		{Name: "all", Kind: stateform.Union, Elem: schema[[]byte](t), Migrations: []stateform.Migration{{Old: text, New: schema[[]byte](t)}}},
		{Name: "rules", Kind: stateform.Broadcast, Elem: text}, {Name: "own", Kind: stateform.Split, Elem: schema[*string](t)},
	}}
	var b strings.Builder
	for _, c := range []struct {
		name        string
		steps       []step
		parallelism int
		options     assign.Options
	}{
		{"the same", all, 2, assign.Options{}},
		{"parallelism 3", all, 3, assign.Options{}},
		{"renamed with FormerlyID", change(1, step{name: "totals", former: "sums", form: sums}), 2, assign.Options{}},
		{"another type", change(1, step{name: "sums", form: stateform.Form{Key: integer, Keyed: []stateform.State{{Name: "sum", Field: "Sum", Kind: stateform.Value, Elem: text}}}}), 2, assign.Options{}},
		{"types evolve", evolved, 3, assign.Options{}},
		{"a state is gone", change(1, step{name: "sums", form: stateform.Form{Key: integer, Keyed: []stateform.State{sum}}}), 2, assign.Options{}},
		{"a state is gone, allowed", change(1, step{name: "sums", form: stateform.Form{Key: integer, Keyed: []stateform.State{sum}}}), 2, allow},
		{"lists are gone, allowed", change(2, step{name: "rules"}), 2, allow},
		{"the source keeps nothing, allowed", change(0, step{name: "in", source: true}), 2, allow},
		{"another key", change(1, step{name: "sums", form: stateform.Form{Key: text, Keyed: sums.Keyed}}), 2, assign.Options{}},
		{"two steps take one state", append(change(1, step{name: "a", former: "sums", form: sums}), step{name: "b", former: "sums", form: sums}), 2, assign.Options{}},
		{"the sink is gone", all[:3], 2, assign.Options{}},
		{"the sink is gone, allowed", all[:3], 2, allow},
		{"the sink is gone, and named", all[:3], 2, assign.Options{DropUncommitted: []string{"out"}}},
		{"the source is gone, allowed", all[1:], 2, allow},
		{"too parallel", all, 9, assign.Options{}},
		{"something new", append(append([]step(nil), all...), step{name: "more", form: sums}), 2, assign.Options{}},
	} {
		p := Make(input(meta, stored, c.steps, c.parallelism, c.options))
		b.WriteString("== " + c.name + "\n" + p.String() + "\n")
		if p.Err() != nil {
			b.WriteString("refused: " + p.Err().Error() + "\n")
		}
		if (p.Err() == nil) != (p.Assignment() != nil) {
			t.Errorf("%s: %v, but the assignment is %v", c.name, p.Err(), p.Assignment())
		}
		b.WriteByte('\n')
	}
	golden(t, "testdata/plan.txt", b.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it differs from %s; rewrite with -update and review the diff. Now:\n%s", file, got)
	}
}

func schema[T any](t *testing.T) *codec.Schema {
	t.Helper()
	c, err := codec.For[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c.Schema()
}

// step is one step of a job, in a task of its own.
type step struct {
	name, former string
	form         stateform.Form
	source       bool
}

func input(meta *snapshot.Metadata, stored map[string]stateform.Form, steps []step, parallelism int, o assign.Options) Input {
	in := Input{Meta: meta, Steps: map[job.OperatorID]Declared{}, Stored: map[job.OperatorID]stateform.Form{}, Options: o}
	for name, f := range stored {
		in.Stored[job.OperatorIDOf(name)] = f
	}
	for _, s := range steps {
		op := assign.Operator{ID: job.OperatorIDOf(s.name), Name: s.name, Named: true}
		if s.former != "" {
			op.FormerIDs = []job.OperatorID{job.OperatorIDOf(s.former)}
		}
		in.Steps[op.ID] = Declared{Source: s.source, Form: s.form}
		in.Job.Vertices = append(in.Job.Vertices, assign.Vertex{
			ID: job.VertexID(op.ID), Name: s.name, Parallelism: parallelism, MaxParallelism: 128, Operators: []assign.Operator{op},
		})
	}
	return in
}

// state is that of a step with two subtasks, of which the first has all.
func state(name string, parts ...snapshot.OperatorSubtask) snapshot.OperatorState {
	first := &snapshot.OperatorSubtask{}
	for _, p := range parts {
		first.Keyed, first.Lists = append(first.Keyed, p.Keyed...), append(first.Lists, p.Lists...)
	}
	return snapshot.OperatorState{
		ID: job.OperatorIDOf(name), Name: name, Named: true, Parallelism: 2, MaxParallelism: 8, Subtasks: []*snapshot.OperatorSubtask{first, nil},
	}
}

func list(name string, mode snapshot.Mode) snapshot.OperatorSubtask {
	return snapshot.OperatorSubtask{Lists: []snapshot.List{{Name: name, Mode: mode, Offsets: []int64{0}, Stream: snapshot.Stream{Inline: []byte{1}, Length: 1}}}}
}

func keyed() snapshot.OperatorSubtask {
	all := keygroup.Range{First: 0, Last: 3}
	return snapshot.OperatorSubtask{Keyed: []snapshot.Keyed{{Range: all, Written: all, Offsets: []int64{1, 1, 1, 1}, End: 2, Header: 1, Stream: snapshot.Stream{Inline: []byte{1, 2}, Length: 2}}}}
}
