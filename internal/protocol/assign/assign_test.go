package assign

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// snapshotOf returns a checkpoint that this version of Weir could have taken.
func snapshotOf(operators ...snapshot.OperatorState) *snapshot.Metadata {
	return &snapshot.Metadata{Checkpoint: 7, KeyHash: keyhash.Name, GroupRule: keygroup.GroupRule, Operators: operators}
}

// stateOf returns the state of a named operator at max parallelism 8.
func stateOf(name string, subtasks ...*snapshot.OperatorSubtask) snapshot.OperatorState {
	return snapshot.OperatorState{
		ID: job.OperatorIDOf(name), Name: name, Named: true,
		Parallelism: len(subtasks), MaxParallelism: 8, Subtasks: subtasks,
	}
}

// keyed returns keyed state of one subtask in which every group takes ten bytes, after a header of 100.
func keyed(file string, first, last int) *snapshot.OperatorSubtask {
	k := snapshot.Keyed{
		Range: keygroup.Range{First: first, Last: last}, Written: keygroup.Range{First: first, Last: last},
		Header: 100, Stream: snapshot.Stream{Path: file},
	}
	for g := range k.Written.Len() {
		k.Offsets = append(k.Offsets, 100+10*int64(g))
	}
	k.End = 100 + 10*int64(k.Written.Len())
	k.Stream.Length = k.End
	return &snapshot.OperatorSubtask{Keyed: []snapshot.Keyed{k}}
}

// lists returns list state of one subtask from texts like "name: a b c", whose elements are words.
func lists(mode snapshot.Mode, texts ...string) *snapshot.OperatorSubtask {
	s := &snapshot.OperatorSubtask{}
	for _, text := range texts {
		name, elements, _ := strings.Cut(text, ":")
		l := snapshot.List{Name: name, Mode: mode}
		for _, e := range strings.Fields(elements) {
			l.Offsets = append(l.Offsets, int64(len(l.Stream.Inline)))
			l.Stream.Inline = append(l.Stream.Inline, e...)
		}
		l.Stream.Length = int64(len(l.Stream.Inline))
		s.Lists = append(s.Lists, l)
	}
	return s
}

// finished returns the mark of a subtask that had finished.
func finished() *snapshot.OperatorSubtask { return &snapshot.OperatorSubtask{Finished: true} }

// one returns a job of a single step.
func one(name string, parallelism int) Job {
	return Job{Vertices: []Vertex{vertex(name, parallelism)}}
}

func vertex(name string, parallelism int, inputs ...Edge) Vertex {
	return Vertex{
		ID: job.VertexID(job.OperatorIDOf(name)), Name: name, Parallelism: parallelism, MaxParallelism: 128,
		Operators: []Operator{{ID: job.OperatorIDOf(name), Name: name, Named: true}}, Inputs: inputs,
	}
}

// describe writes what each subtask gets as one line for each.
func describe(subtasks []*snapshot.OperatorSubtask) string {
	var lines []string
	for _, s := range subtasks {
		var parts []string
		if s != nil {
			for _, k := range s.Keyed {
				parts = append(parts, k.Stream.Path+k.Range.String())
			}
			for _, l := range s.Lists {
				parts = append(parts, l.Name+":"+strings.Join(elements(l), ","))
			}
		}
		lines = append(lines, strings.Join(parts, " "))
	}
	return strings.Join(lines, " | ")
}

// elements reads a list as a restoring operator does.
func elements(l snapshot.List) (all []string) {
	for i, begin := range l.Offsets {
		end := l.Stream.Length
		if i+1 < len(l.Offsets) {
			end = l.Offsets[i+1]
		}
		all = append(all, string(l.Stream.Inline[begin:end]))
	}
	return all
}

// Who gets which part: a line for each kind of state and change of parallelism.
func TestRedistribution(t *testing.T) {
	const split, union, broadcast, merged = snapshot.Split, snapshot.Union, snapshot.Broadcast, snapshot.Merged
	for _, c := range []struct {
		name  string
		state []*snapshot.OperatorSubtask
		to    int
		want  string
	}{
		{"keyed, same", []*snapshot.OperatorSubtask{keyed("a", 0, 3), keyed("b", 4, 7)}, 2, "a[0..3] | b[4..7]"},
		{"keyed, up", []*snapshot.OperatorSubtask{keyed("a", 0, 3), keyed("b", 4, 7)}, 3, "a[0..2] | a[3..3] b[4..5] | b[6..7]"},
		{"keyed, down", []*snapshot.OperatorSubtask{keyed("a", 0, 3), keyed("b", 4, 7)}, 1, "a[0..3] b[4..7]"},
		{"keyed, one had none", []*snapshot.OperatorSubtask{nil, keyed("b", 4, 7)}, 4, " |  | b[4..5] | b[6..7]"},
		{"keyed, one finished, same", []*snapshot.OperatorSubtask{finished(), keyed("b", 4, 7)}, 2, " | b[4..7]"},
		{"keyed, one finished, down", []*snapshot.OperatorSubtask{finished(), keyed("b", 4, 7)}, 1, "b[4..7]"},

		{"split, same", []*snapshot.OperatorSubtask{lists(split, "x: a b c"), lists(split, "x: d")}, 2, "x:a,b,c | x:d"},
		{"split, same, one finished", []*snapshot.OperatorSubtask{finished(), lists(split, "x: d e")}, 2, " | x:d,e"},
		{"split, down", []*snapshot.OperatorSubtask{lists(split, "x: a b c"), lists(split, "x: d")}, 1, "x:a,b,c x:d"},
		{"split, up evenly", []*snapshot.OperatorSubtask{lists(split, "x: a b c"), lists(split, "x: d")}, 4, "x:a | x:b | x:c | x:d"},
		{"split, up beyond", []*snapshot.OperatorSubtask{lists(split, "x: a b")}, 3, "x:a | x:b | "},
		{"split, surplus first", []*snapshot.OperatorSubtask{lists(split, "x: a b c d"), nil, lists(split, "x: e")}, 2, "x:a,b,c | x:d x:e"},
		{
			"split, the surplus of the next state goes on from there",
			[]*snapshot.OperatorSubtask{lists(split, "x: a b c d", "y: p q r s t", "z: 1")}, 3,
			"x:a,b y:t z:1 | x:c y:p,q | x:d y:r,s",
		},
		{"split, an empty list", []*snapshot.OperatorSubtask{lists(split, "x:"), lists(split, "x: a")}, 3, "x:a |  | "},

		{"union, same", []*snapshot.OperatorSubtask{lists(union, "u: a b"), lists(union, "u: c")}, 2, "u:a,b u:c | u:a,b u:c"},
		{"union, up", []*snapshot.OperatorSubtask{lists(union, "u: a")}, 3, "u:a | u:a | u:a"},
		{"union, one finished", []*snapshot.OperatorSubtask{finished(), lists(union, "u: c")}, 2, "u:c | u:c"},
		{"merged, same", []*snapshot.OperatorSubtask{lists(merged, "u: a"), lists(merged, "u: c")}, 2, "u:a u:c | u:a u:c"},
		{"merged, one finished", []*snapshot.OperatorSubtask{finished(), lists(merged, "u: c")}, 2, "u:c | u:c"},

		{"broadcast, same", []*snapshot.OperatorSubtask{lists(broadcast, "b: 1"), lists(broadcast, "b: 2")}, 2, "b:1 | b:2"},
		{"broadcast, up", []*snapshot.OperatorSubtask{lists(broadcast, "b: 1"), lists(broadcast, "b: 2")}, 3, "b:1 | b:2 | b:1"},
		{"broadcast, down", []*snapshot.OperatorSubtask{lists(broadcast, "b: 1"), lists(broadcast, "b: 2")}, 1, "b:1"},
		{"broadcast, same, one finished", []*snapshot.OperatorSubtask{lists(broadcast, "b: 1"), finished()}, 2, "b:1 | b:1"},

		{"nothing", []*snapshot.OperatorSubtask{nil, nil}, 3, " |  | "},
	} {
		a, err := Assign(snapshotOf(stateOf("s", c.state...)), one("s", c.to), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := describe(a.Vertices[0].Operators[0].Subtasks); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// At the same parallelism keyed handles are passed on as they are, down to the slice.
func TestSameParallelismPassesKeyedHandles(t *testing.T) {
	state := keyed("a", 0, 7)
	a, err := Assign(snapshotOf(stateOf("s", state)), one("s", 1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Vertices[0].Operators[0].Subtasks[0].Keyed; &got[0] != &state.Keyed[0] {
		t.Error("the handles were copied")
	}
}

// A cut list is a part of its stream that can be opened by itself, and says that its checksum is not its own.
func TestCutListPointsIntoItsFile(t *testing.T) {
	whole := snapshot.List{Name: "x", Offsets: []int64{0, 10, 30, 60}, Stream: snapshot.Stream{Path: "f", Offset: 1000, Length: 100, CRC: 5}}
	state := stateOf("s", &snapshot.OperatorSubtask{Lists: []snapshot.List{whole}})
	a, err := Assign(snapshotOf(state), one("s", 2), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"exclusive file f at 1000, 30 bytes [0 10] partial=true",
		"exclusive file f at 1030, 70 bytes [0 30] partial=true",
	} {
		l := a.Vertices[0].Operators[0].Subtasks[i].Lists[0]
		where, _, _ := strings.Cut(l.Stream.String(), ", crc")
		if got := fmt.Sprintf("%s %v partial=%v", where, l.Offsets, l.Stream.Partial); got != want {
			t.Errorf("subtask %d gets %s, want %s", i, got, want)
		}
	}
	if !slices.Equal(whole.Offsets, []int64{0, 10, 30, 60}) || state.Subtasks[0].Lists[0].Stream.Partial {
		t.Error("the snapshot was changed")
	}
}

// Whose max parallelism holds.
func TestMaxParallelism(t *testing.T) {
	meta := snapshotOf(stateOf("s", keyed("a", 0, 7)))
	for _, c := range []struct {
		parallelism, max int
		explicit         bool
		want             int
		err              string
	}{
		{2, 128, false, 8, ""},
		{8, 8, true, 8, ""},
		{9, 128, false, 0, `restore "s" from checkpoint 7: parallelism 9 is larger than the max parallelism 8 of the state of "s": set it to 8 or less`},
		{2, 128, true, 0, `restore "s" from checkpoint 7: max parallelism was changed from 8 to 128, but the state of "s" is laid out for 8: set it back, or do not set it`},
	} {
		j := one("s", c.parallelism)
		j.Vertices[0].MaxParallelism, j.Vertices[0].MaxExplicit = c.max, c.explicit
		a, err := Assign(meta, j, Options{})
		if c.err != "" {
			wantError(t, err, c.err)
			continue
		}
		if err != nil || a.Vertices[0].MaxParallelism != c.want {
			t.Errorf("%+v: %+v, %v", c, a, err)
		}
	}
}

func TestMaxParallelismWithoutState(t *testing.T) {
	a, err := Assign(snapshotOf(stateOf("s", nil, nil)), one("s", 100), Options{})
	if err != nil || a.Vertices[0].MaxParallelism != 128 {
		t.Errorf("%+v, %v; want the job's own", a, err)
	}
}

func TestMaxParallelismOfOneTaskMustAgree(t *testing.T) {
	other := stateOf("b", keyed("b", 0, 15))
	other.MaxParallelism = 16
	j := one("a", 1)
	j.Vertices[0].Operators = append(j.Vertices[0].Operators, Operator{ID: job.OperatorIDOf("b"), Name: "b"})
	_, err := Assign(snapshotOf(stateOf("a", keyed("a", 0, 7)), other), j, Options{})
	wantError(t, err, `restore "a" from checkpoint 7: its steps run in one task, but the state of "a" has max parallelism 8 and that of "b" 16: separate them`)
}

func TestOtherKeyLayoutIsRefused(t *testing.T) {
	meta := snapshotOf(stateOf("s", keyed("a", 0, 7)))
	meta.KeyHash = "other/1"
	_, err := Assign(meta, one("s", 1), Options{})
	wantError(t, err, `checkpoint 7 has keys laid out by hash "other/1" and group rule "multiply-shift-high32/1", `+
		`this version of Weir knows "weir-fold64/1" and "multiply-shift-high32/1"`)
	meta.Operators[0].Subtasks[0] = lists(snapshot.Split, "x: a") // no keys, no matter
	if _, err := Assign(meta, one("s", 1), Options{}); err != nil {
		t.Error(err)
	}
}

// A step finds its state by id, or else by former ids; and what happens to the rest.
func TestMatching(t *testing.T) {
	state := func(name string) snapshot.OperatorState { return stateOf(name, lists(snapshot.Split, name+": x")) }
	generated := state("Process-2")
	generated.Named = false
	step := func(name string, former ...string) Vertex {
		v := vertex(name, 1)
		for _, f := range former {
			v.Operators[0].FormerIDs = append(v.Operators[0].FormerIDs, job.OperatorIDOf(f))
		}
		return v
	}
	for _, c := range []struct {
		name     string
		snapshot []snapshot.OperatorState
		steps    []Vertex
		allow    bool
		want     string // "step<-state" for each step, then "dropped"
		err      string
	}{
		{name: "same", snapshot: []snapshot.OperatorState{state("a"), state("b")}, steps: []Vertex{step("a"), step("b")}, want: "a<-a b<-b"},
		{name: "new step", snapshot: []snapshot.OperatorState{state("a")}, steps: []Vertex{step("new"), step("a")}, want: "new<- a<-a"},
		{name: "renamed", snapshot: []snapshot.OperatorState{state("old")}, steps: []Vertex{step("new", "older", "old")}, want: "new<-old"},
		{name: "own id first", snapshot: []snapshot.OperatorState{stateOf("old", nil), state("new")}, steps: []Vertex{step("new", "old")}, want: "new<-new"},
		{name: "empty state may go", snapshot: []snapshot.OperatorState{stateOf("gone", nil, finished())}, steps: []Vertex{step("a")}, want: "a<-"},
		{name: "dropped when allowed", snapshot: []snapshot.OperatorState{state("gone")}, steps: []Vertex{step("a")}, allow: true, want: "a<- dropped [gone]"},
		{
			name: "two claims", snapshot: []snapshot.OperatorState{state("old")}, steps: []Vertex{step("a", "old"), step("b", "old")},
			err: `steps "a" and "b" both take the state of "old" (%id(old)): give each an id of its own`,
		},
		{
			name: "gone", snapshot: []snapshot.OperatorState{state("count"), state("a")}, steps: []Vertex{step("a"), step("counts"), step("print")},
			err: `checkpoint 7 has state that no step of this job takes: "count" (%id(count)); steps of this job without state: "counts", "print"; ` +
				`if "counts" is the former "count", say so with FormerlyID("count"); keep each such step, or name it with FormerlyID in the step that takes its place, or give that state up with --allow-non-restored-state, or start anew with --fresh`,
		},
		{
			name: "gone, generated", snapshot: []snapshot.OperatorState{generated, state("a")}, steps: []Vertex{step("a")},
			err: `checkpoint 7 has state that no step of this job takes: "Process-2" (%id(Process-2), a generated id: it changes with the graph ` +
				`unless the step gets an id); every step of this job has found its state or has none; keep each such step, or name it with FormerlyID in the step that takes its place, or give that state up with --allow-non-restored-state, or start anew with --fresh`,
		},
	} {
		a, err := Assign(snapshotOf(c.snapshot...), Job{Vertices: c.steps}, Options{AllowNonRestored: c.allow})
		if c.err != "" {
			for _, s := range c.snapshot {
				c.err = strings.ReplaceAll(c.err, "%id("+s.Name+")", s.ID.String())
			}
			wantError(t, err, c.err)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := matches(a, c.snapshot, c.steps); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func matches(a *Assignment, states []snapshot.OperatorState, steps []Vertex) string {
	names := map[job.OperatorID]string{}
	for _, s := range states {
		names[s.ID] = s.Name
	}
	var all []string
	for i, v := range a.Vertices {
		all = append(all, steps[i].Name+"<-"+names[v.Operators[0].From])
	}
	if a.Dropped != nil {
		all = append(all, fmt.Sprint("dropped ", droppedNames(a)))
	}
	return strings.Join(all, " ")
}

func droppedNames(a *Assignment) (names []string) {
	for _, d := range a.Dropped {
		names = append(names, d.Name)
	}
	return names
}

// A sink that has prepared output is not covered by the general permission: its name must be said. What only tells the time may go.
func TestUncommittedOutputIsNotDropped(t *testing.T) {
	pending := snapshotOf(stateOf("out", lists(snapshot.Split, snapshot.UncommittedList+": a b"), lists(snapshot.Split, snapshot.UncommittedList+": c")),
		stateOf("count", keyed("k", 0, 7)))
	committed := snapshotOf(stateOf("out", lists(snapshot.Split, "sink-writers: a")))
	clocks := snapshotOf(stateOf("event time", lists(snapshot.Union, snapshot.EventTimeList+": 1"), lists(snapshot.Broadcast, snapshot.WatermarkList+": 1")))
	both := Options{AllowNonRestored: true, DropUncommitted: []string{"out"}}
	for _, c := range []struct {
		name    string
		meta    *snapshot.Metadata
		options Options
		err     string // part of it; empty for none
	}{
		{"no permission", pending, Options{}, "give that state and output up with --allow-non-restored-state --drop-uncommitted out"},
		{"general permission", pending, Options{AllowNonRestored: true},
			`"out" (` + job.OperatorIDOf("out").String() + `, with 3 prepared pieces of output that are not known to be committed and would be LOST)`},
		{"general permission, remedy", pending, Options{AllowNonRestored: true}, "give that state and output up with --drop-uncommitted out, or"},
		{"the sink alone", pending, Options{DropUncommitted: []string{"out"}}, `"count" (`},
		{"another sink", pending, Options{AllowNonRestored: true, DropUncommitted: []string{"in"}}, "LOST"},
		{"both", pending, both, ""},
		{"by id", pending, Options{AllowNonRestored: true, DropUncommitted: []string{job.OperatorIDOf("out").String()}}, ""},
		{"nothing pending", committed, Options{AllowNonRestored: true}, ""},
		{"nothing pending, no permission", committed, Options{}, "give that state up with --allow-non-restored-state"},
		{"clocks", clocks, Options{}, ""},
		{"nothing to drop", snapshotOf(stateOf("s", keyed("k", 0, 7))), both, ""},
	} {
		_, err := Assign(c.meta, one("s", 1), c.options)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %s", c.name, err, c.err)
		}
	}
}

func TestUnmatchedIsTyped(t *testing.T) {
	_, err := Assign(snapshotOf(stateOf("s", keyed("a", 0, 7))), one("other", 1), Options{})
	var unmatched *UnmatchedError
	if !errors.As(err, &unmatched) || unmatched.States[0].Name != "s" {
		t.Errorf("%v", err)
	}
}

// A run that began by leaving state behind can restart from the same checkpoint.
func TestFailoverLeavesBehindWhatWasLeftBefore(t *testing.T) {
	a, err := Assign(snapshotOf(stateOf("s", keyed("a", 0, 7))), one("other", 1), Options{Failover: true})
	if err != nil || !slices.Equal(droppedNames(a), []string{"s"}) {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestCoordinatorStateStaysOne(t *testing.T) {
	state := stateOf("s", nil, nil)
	state.Coordinator = []byte("splits")
	a, err := Assign(snapshotOf(state), one("s", 5), Options{})
	if err != nil || string(a.Vertices[0].Operators[0].Coordinator) != "splits" || len(a.Vertices[0].Operators[0].Subtasks) != 5 {
		t.Errorf("%+v, %v", a, err)
	}
	_, err = Assign(snapshotOf(state), one("other", 5), Options{})
	if err == nil {
		t.Error("coordinator state was dropped in silence")
	}
}

// What had finished must not get new input: over a graph of two tasks, what each was, how they are connected, and what comes of it.
func TestFinished(t *testing.T) {
	const all, some = true, false // the edge is all-to-all, or pointwise
	states := map[string]func(string) snapshot.OperatorState{
		"running":         func(name string) snapshot.OperatorState { return stateOf(name, nil, nil) },
		"partly finished": func(name string) snapshot.OperatorState { return stateOf(name, finished(), nil) },
		"fully finished": func(name string) snapshot.OperatorState {
			s := stateOf(name)
			s.Parallelism, s.FullyFinished = 2, true
			return s
		},
		"not in it at all": nil,
	}
	for _, c := range []struct {
		from  string
		edges []bool
		to    string
		ok    bool
	}{
		{"running", []bool{all}, "running", true},
		{"partly finished", []bool{all}, "running", true},
		{"fully finished", []bool{all}, "running", true},
		{"fully finished", []bool{some}, "partly finished", true},
		{"fully finished", []bool{all}, "partly finished", true},
		{"fully finished", []bool{all}, "fully finished", true},
		{"fully finished", []bool{all}, "not in it at all", true},
		{"partly finished", []bool{some}, "partly finished", true},
		{"partly finished", []bool{all}, "partly finished", false},
		{"partly finished", []bool{some, all}, "partly finished", false},
		{"partly finished", []bool{some}, "fully finished", false},
		{"running", []bool{some}, "partly finished", false},
		{"running", []bool{some}, "fully finished", false},
		{"not in it at all", []bool{some}, "fully finished", false},
	} {
		meta := snapshotOf()
		for name, status := range map[string]string{"from": c.from, "to": c.to} {
			if state := states[status]; state != nil {
				meta.Operators = append(meta.Operators, state(name))
			}
		}
		from, to := vertex("from", 2), vertex("to", 2)
		for _, allToAll := range c.edges {
			to.Inputs = append(to.Inputs, Edge{From: from.ID, AllToAll: allToAll})
		}
		a, err := Assign(meta, Job{Vertices: []Vertex{from, to}}, Options{})
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil && a.Vertices[1].Finished != (c.to == "fully finished") {
			t.Errorf("%+v: finished %v", c, a.Vertices[1].Finished)
		}
		if _, err := Assign(meta, Job{Vertices: []Vertex{from, to}}, Options{Failover: true}); err != nil {
			t.Errorf("%+v: a failover is not checked, yet: %v", c, err)
		}
	}
}

func TestFinishedMessages(t *testing.T) {
	done := stateOf("done")
	done.Parallelism, done.FullyFinished = 1, true
	meta := snapshotOf(done, stateOf("runs", nil))
	task := vertex("done", 1)
	task.Operators = append(task.Operators, Operator{ID: job.OperatorIDOf("runs"), Name: "runs"})
	_, err := Assign(meta, Job{Vertices: []Vertex{task}}, Options{})
	wantError(t, err, `task "done": step "done" is fully finished in the checkpoint and step "runs" is running, but they run in one task now: separate them as they were`)

	runs := vertex("runs", 1)
	_, err = Assign(meta, Job{Vertices: []Vertex{runs, vertex("done", 1, Edge{From: runs.ID})}}, Options{})
	wantError(t, err, `task "done" is fully finished in the checkpoint, but its input "runs" is running: a step that had finished cannot get new input; `+
		`restore with the graph the checkpoint was taken of`)
}

// The steps of one task must have come equally far, or what is not finished could not run, and what is would run again.
func TestStepsOfOneTaskHaveComeEquallyFar(t *testing.T) {
	done := stateOf("done")
	done.Parallelism, done.FullyFinished = 2, true
	meta := snapshotOf(done, stateOf("part", finished(), nil), stateOf("part2", nil, finished()), stateOf("runs", nil, nil))
	for _, c := range []struct {
		steps string
		ok    bool
	}{
		{"runs new", true},
		{"part part2", true},
		{"done", true},
		{"runs part", false},
		{"part done", false},
		{"done runs", false},
		{"done new", false},
		{"part new", false},
	} {
		v := vertex(strings.Fields(c.steps)[0], 2)
		for _, name := range strings.Fields(c.steps)[1:] {
			v.Operators = append(v.Operators, Operator{ID: job.OperatorIDOf(name), Name: name, Named: true})
		}
		if _, err := Assign(meta, Job{Vertices: []Vertex{v}}, Options{}); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.steps, err)
		}
		if _, err := Assign(meta, Job{Vertices: []Vertex{v}}, Options{Failover: true}); err != nil {
			t.Errorf("%s: a failover is not checked, yet: %v", c.steps, err)
		}
	}
}

// What has to be read is counted by wanted groups and elements, files once.
func TestNeeds(t *testing.T) {
	state := stateOf("s", keyed("a", 0, 3), keyed("b", 4, 7))
	state.Subtasks[0].Lists = lists(snapshot.Union, "u: 12345").Lists
	a, err := Assign(snapshotOf(state), one("s", 3), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Two subtasks read one header each, the one in the middle two; eight groups of ten bytes; the union three times.
	if got, want := fmt.Sprint(a.Needs()), fmt.Sprint(Needs{Files: []string{"a", "b"}, Bytes: 4*100 + 8*10 + 3*5}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("error\n %v\nwant\n %s", err, want)
	}
}

// Steps in one task whose state was written under different max parallelisms, as when chaining has changed: keys decide, lists give way.
func TestMaxParallelismOfAChain(t *testing.T) {
	with := func(s snapshot.OperatorState, most int) snapshot.OperatorState {
		s.MaxParallelism = most
		return s
	}
	list := func(name string, most int) snapshot.OperatorState {
		return with(stateOf(name, lists(snapshot.Split, name+": x")), most)
	}
	for _, c := range []struct {
		name   string
		states []snapshot.OperatorState
		want   int
	}{
		{"keys before a list", []snapshot.OperatorState{stateOf("a", keyed("a", 0, 7)), list("b", 16)}, 8},
		{"a list before keys", []snapshot.OperatorState{list("a", 16), stateOf("b", keyed("b", 0, 7))}, 8},
		{"a smaller list", []snapshot.OperatorState{stateOf("a", keyed("a", 0, 7)), list("b", 1)}, 8},
		{"lists", []snapshot.OperatorState{list("a", 16), list("b", 32)}, 32},
		{"the same keys", []snapshot.OperatorState{stateOf("a", keyed("a", 0, 7)), stateOf("b", keyed("b", 0, 7))}, 8},
	} {
		j := one("a", 2)
		j.Vertices[0].Operators = append(j.Vertices[0].Operators, Operator{ID: job.OperatorIDOf("b"), Name: "b"})
		a, err := Assign(snapshotOf(c.states...), j, Options{})
		if err != nil || a.Vertices[0].MaxParallelism != c.want {
			t.Errorf("%s: %+v, %v; want %d", c.name, a, err, c.want)
		}
	}
}

// All that stands against a restore is said at once.
func TestAllMistakesAreSaid(t *testing.T) {
	j := Job{Vertices: []Vertex{vertex("a", 9), vertex("b", 20)}}
	_, err := Assign(snapshotOf(stateOf("a", keyed("a", 0, 7)), stateOf("b", keyed("b", 0, 7)), stateOf("gone", keyed("c", 0, 7))), j, Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"gone"`, `restore "a"`, `restore "b"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}
