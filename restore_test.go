package weir_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/storage"
)

// shape is a job that can be changed in one way or another between two runs. Unchanged it is
//
//	in -> filter -> (by key) -> sums -> out
//	        \-> (rebalance) -> kept -> aside
type shape struct {
	parallelism int // 0: 2
	max         int
	without     string // "kept": the branch with it and "aside" is not there; "aside": only that sink is another
	former      bool   // sums and out have new ids, and say what they were
	renamed     bool   // they have, and do not say
	added       bool   // a keyed step "more" before sums, and a plain one behind it
	reordered   bool   // the second branch is declared first, and the filter comes behind a map
	unchained   bool   // between sums and out records are dealt out anew
	chained     bool   // kept is in the source's task
	textual     bool   // the sum is a text
	byText      bool   // the key is a text
	plainSums   bool   // sums has no key any more
	fewer       bool   // sums and kept do not declare their states any more, sums another one
	onePhase    bool   // out does not commit any more
	sourceless  bool   // "in" is the id of a map, the source is "tape"
}

func (s shape) ids(name string) (string, []weir.Option) {
	switch {
	case s.former:
		return name + "2", []weir.Option{weir.FormerlyID(name)}
	case s.renamed:
		return name + "2", nil
	}
	return name, nil
}

// changing is what outlives the runs of a shape.
type changing struct {
	*world
	aside *memory.Collector[string]
}

func newChanging(t *testing.T) *changing {
	return &changing{newWorld(t, 3, 40), memory.Collect[string]()}
}

func (c *changing) shaped(s shape, options ...checkpoint.Option) *weir.Job {
	j := newJob(c.t, max(s.parallelism, 1))
	if s.parallelism == 0 {
		j.Set("parallelism.default", "2")
	}
	j.Logger(cmp.Or(c.log, logger(c.t)))
	j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.KeepOnCancel(), checkpoint.Dir(c.dir))
	j.Checkpoint(options...)
	j.Set("restart-strategy.type", "none")
	source := "in"
	if s.sourceless {
		source = "tape"
	}
	all := weir.From(j, source, c.in)
	if s.sourceless {
		all = weir.ProcessPlain(all, "in", &passing{})
	}
	if s.reordered {
		all = weir.Map(all, func(r reading) reading { return r })
	}
	in := weir.Filter(all, func(r reading) bool { return r.Seq%2 == 0 })
	if s.reordered {
		c.second(s, in)
		c.first(s, in)
	} else {
		c.first(s, in)
		c.second(s, in)
	}
	return j
}

func (c *changing) first(s shape, in weir.Stream[reading]) {
	if s.added {
		in = weir.Process(weir.KeyBy(in, func(r reading) int { return r.Key }), "more", &counted{})
		in = weir.ProcessPlain(in, "even more", &passing{})
	}
	id, formerly := s.ids("sums")
	var options []weir.Option
	if s.max > 0 {
		options = append(options, weir.MaxParallelism(s.max))
	}
	options = append(options, formerly...)
	var out weir.Stream[string]
	switch {
	case s.byText:
		out = weir.Process(weir.KeyBy(in, func(r reading) string { return strconv.Itoa(r.Key) }), id, &sumByText{}, options...)
	case s.plainSums:
		out = weir.ProcessPlain(in, id, &keeper{}, options...)
	case s.fewer:
		out = weir.Process(weir.KeyBy(in, func(r reading) int { return r.Key }), id, &countSums{}, options...)
	case s.textual:
		out = weir.Process(weir.KeyBy(in, func(r reading) int { return r.Key }), id, &sumAsText{}, options...)
	default:
		out = weir.Process(weir.KeyBy(in, func(r reading) int { return r.Key }), id, &sumOf{}, options...)
	}
	if s.unchained {
		out = weir.Rebalance(out)
	}
	id, formerly = s.ids("out")
	var to sink.Sink[string] = c.out
	if s.onePhase {
		to = discard.Sink[string]()
	}
	weir.To(out, id, to, formerly...)
}

func (c *changing) second(s shape, in weir.Stream[reading]) {
	if s.without == "kept" {
		return
	}
	if !s.chained {
		in = weir.Rebalance(in)
	}
	var kept weir.Stream[string]
	if s.fewer {
		kept = weir.ProcessPlain(in, "kept", &forgetful{})
	} else {
		kept = weir.ProcessPlain(in, "kept", &keeper{})
	}
	if s.without == "aside" {
		weir.To(kept, "elsewhere", c.aside)
		return
	}
	weir.To(kept, "aside", c.aside)
}

// sumOf emits running sums by key.
type sumOf struct {
	Sum state.Value[int] `state:"sum"`
}

func (p *sumOf) On(c *weir.Ctx[int, string], r reading) error {
	p.Sum.Set(p.Sum.Get() + r.Seq)
	c.Emit(fmt.Sprintf("key %d seq %d sum %d", r.Key, r.Seq, p.Sum.Get()))
	return nil
}

type sumByText struct {
	Sum state.Value[int] `state:"sum"`
}

func (p *sumByText) On(*weir.Ctx[string, string], reading) error { return nil }

type sumAsText struct {
	Sum state.Value[string] `state:"sum"`
}

func (p *sumAsText) On(*weir.Ctx[int, string], reading) error { return nil }

// countSums and forgetful have lost the states that the steps had.
type countSums struct {
	N state.Value[int] `state:"n"`
}

func (p *countSums) On(c *weir.Ctx[int, string], r reading) error {
	p.N.Set(p.N.Get() + 1)
	c.Emit(fmt.Sprintf("key %d has %d", r.Key, p.N.Get()))
	return nil
}

type forgetful struct{}

func (forgetful) On(*weir.Ctx[weir.NoKey, string], reading) error { return nil }

// counted and passing are new steps with state.
type counted struct {
	N state.Value[int] `state:"n"`
}

func (p *counted) On(c *weir.Ctx[int, reading], r reading) error {
	p.N.Set(p.N.Get() + 1)
	c.Emit(r)
	return nil
}

type passing struct {
	Seen state.List[int] `state:"seen"`
}

func (p *passing) On(c *weir.Ctx[weir.NoKey, reading], r reading) error {
	c.Emit(r)
	return nil
}

// run runs a job until all splits are read up to a position, and suspends it. The checkpoint it stops with is its first, so the sinks have
// prepared all of it.
func (c *changing) run(j *weir.Job, position int) weir.Result {
	c.t.Helper()
	for i := range c.in.splits {
		c.in.hold(i, position)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e, err := weir.StartOn(ctx, j, c.fs, c.flags)
	if err != nil {
		c.t.Fatal(err)
	}
	until(c.t, e, "records", func() bool {
		return c.written(e) >= len(c.in.splits)*position/2 && e.Progress().Phase == progress.Running
	})
	cancel()
	r, _ := c.end(e, weir.Suspended)
	return r
}

// written returns how many records have reached the sink out.
func (c *changing) written(e *weir.Execution) int {
	for _, s := range e.Progress().Steps {
		if strings.HasSuffix(s.Name, "out") {
			return int(s.In)
		}
	}
	return 0
}

// complete runs a job to its end and returns how many sums and how many elements of the list of kept are wrong.
func (c *changing) complete(j *weir.Job) (sums, kept int) {
	c.t.Helper()
	for i := range c.in.splits {
		c.in.release(i)
	}
	e, err := weir.StartOn(context.Background(), j, c.fs, c.flags)
	if err != nil {
		c.t.Fatal(err)
	}
	c.end(e, weir.Finished)
	var wantSums, wantKept []string
	for _, s := range c.want() {
		switch {
		case strings.Contains(s, "sum"):
			wantSums = append(wantSums, s)
		case strings.HasPrefix(s, "seen"):
			wantKept = append(wantKept, s)
		}
	}
	return different(c.out.Records(), wantSums), different(c.aside.Records(), wantKept)
}

// different counts what is in one of two bags alone.
func different(a, b []string) (n int) {
	count := map[string]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for _, k := range count {
		n += max(k, -k)
	}
	return n
}

// TestChangedJobs shows for every kind of change what becomes of each state, and that -plan and the start agree: what is planned as kept is
// there, what would be lost or cannot be read is refused before anything begins, in the same words, and nothing is changed by looking
// or by being refused.
func TestChangedJobs(t *testing.T) {
	allow := []checkpoint.Option{checkpoint.AllowNonRestoredState()}
	const kept = "keep enumerator, keep source-splits, "
	tests := []struct {
		name    string
		shape   shape
		options []checkpoint.Option
		drop    []string      // --drop-uncommitted
		fates   string        // of all states, without those of clocks
		code    exitcode.Code // of the plan
		refused []string      // parts of the text
		sums    bool          // the sums of the run after it are right
		kept    bool          // so is the list
	}{
		{name: "unchanged", fates: kept + "keep sum, keep sink-pending, keep seen", sums: true, kept: true},
		{name: "other parallelism", shape: shape{parallelism: 3},
			fates: "keep enumerator, re-cut source-splits, re-cut sum, re-cut sink-pending, re-cut seen", sums: true, kept: true},
		{name: "parallelism 1", shape: shape{parallelism: 1},
			fates: "keep enumerator, re-cut source-splits, re-cut sum, re-cut sink-pending, re-cut seen", sums: true, kept: true},
		{name: "added steps", shape: shape{added: true},
			fates: kept + "new n, new seen, keep sum, keep sink-pending, keep seen", sums: true, kept: true},
		{name: "renamed with FormerlyID", shape: shape{former: true}, fates: kept + "keep sum, keep sink-pending, keep seen", sums: true, kept: true},
		{name: "renamed at another parallelism", shape: shape{former: true, parallelism: 1},
			fates: "keep enumerator, re-cut source-splits, re-cut sum, re-cut sink-pending, re-cut seen", sums: true, kept: true},
		{name: "renamed without", shape: shape{renamed: true}, code: exitcode.Refused,
			fates:   kept + "new sum, keep seen, dropped sum, dropped sink-pending",
			refused: []string{`"sums" (`, `if "sums2" is the former "sums"`, `"out" (`, "would be LOST", "--allow-non-restored-state --drop-uncommitted out"}},
		{name: "renamed without, allowed", shape: shape{renamed: true}, options: allow, code: exitcode.Refused,
			fates:   kept + "new sum, keep seen, dropped sum, dropped sink-pending",
			refused: []string{`"out" (`, "would be LOST", "with --drop-uncommitted out"}},
		{name: "renamed without, all given up", shape: shape{renamed: true}, options: allow, drop: []string{"out"}, code: exitcode.Changed,
			fates: kept + "new sum, keep seen, dropped sum, dropped sink-pending", kept: true},
		{name: "declared in another order", shape: shape{reordered: true}, fates: kept + "keep seen, keep sum, keep sink-pending", sums: true, kept: true},
		{name: "taken out of a task", shape: shape{unchained: true}, fates: kept + "keep sum, keep sink-pending, keep seen", sums: true, kept: true},
		{name: "put into a task", shape: shape{chained: true}, fates: kept + "keep seen, keep sum, keep sink-pending", sums: true, kept: true},
		{name: "both, re-cut", shape: shape{chained: true, unchained: true, reordered: true, parallelism: 3},
			fates: "keep enumerator, re-cut source-splits, re-cut seen, re-cut sum, re-cut sink-pending", sums: true, kept: true},
		{name: "removed", shape: shape{without: "kept"}, code: exitcode.Refused,
			fates: kept + "keep sum, keep sink-pending, dropped seen", refused: []string{`"kept" (`, "give that state up with --allow-non-restored-state"}},
		{name: "removed, allowed", shape: shape{without: "kept"}, options: allow, code: exitcode.Changed,
			fates: kept + "keep sum, keep sink-pending, dropped seen", sums: true},
		{name: "another sink with nothing pending", shape: shape{without: "aside"},
			fates: kept + "keep sum, keep sink-pending, keep seen", sums: true, kept: true},
		{name: "changed type", shape: shape{textual: true}, code: exitcode.Refused,
			fates:   kept + "incompatible sum, keep sink-pending, keep seen",
			refused: []string{`step "sums": state "sum" (field Sum): value: was int64, is now string`}},
		{name: "changed type of the key", shape: shape{byText: true}, options: allow, code: exitcode.Refused,
			fates:   kept + "incompatible sum, keep sink-pending, keep seen",
			refused: []string{`step "sums": the snapshot's key is int64, the program's is string`}},
		{name: "no key any more", shape: shape{plainSums: true}, code: exitcode.Refused,
			fates:   kept + "incompatible sum, new seen, keep sink-pending, keep seen",
			refused: []string{`step "sums": the snapshot holds state by keys of type int64, the program's step has no keys`}},
		{name: "states not declared any more", shape: shape{fewer: true}, code: exitcode.Refused,
			fates: kept + "new n, dropped sum, keep sink-pending, dropped seen",
			refused: []string{`step "sums": the snapshot holds states that the program does not: it has value "sum" of int64; the program has value "n" of int64`,
				`step "kept": the snapshot holds states that the program does not: it has split list "seen"`, "--allow-non-restored-state"}},
		{name: "states not declared any more, allowed", shape: shape{fewer: true}, options: allow, code: exitcode.Changed,
			fates: kept + "new n, dropped sum, keep sink-pending, dropped seen"},
		{name: "states not declared any more, allowed and re-cut", shape: shape{fewer: true, parallelism: 3}, options: allow, code: exitcode.Changed,
			fates: "keep enumerator, re-cut source-splits, new n, dropped sum, re-cut sink-pending, dropped seen"},
		{name: "changed max parallelism", shape: shape{max: 64}, code: exitcode.Refused,
			fates:   kept + "keep sum, keep sink-pending, keep seen",
			refused: []string{"max parallelism was changed from 128 to 64"}},
		{name: "max parallelism said", shape: shape{max: 128}, fates: kept + "keep sum, keep sink-pending, keep seen", sums: true, kept: true},
		{name: "parallelism beyond the state", shape: shape{parallelism: 130}, code: exitcode.Refused,
			fates:   "keep enumerator, re-cut source-splits, re-cut sum, re-cut sink-pending, re-cut seen",
			refused: []string{"parallelism 130 is larger than the max parallelism 128 of the state"}},
		{name: "the sink does not commit any more", shape: shape{onePhase: true}, code: exitcode.Refused,
			fates:   kept + "keep sum, incompatible sink-pending, keep seen",
			refused: []string{`step "out"`, "prepared output that is not known to be committed"}},
		{name: "the source is a step now", shape: shape{sourceless: true}, code: exitcode.Refused,
			fates:   "incompatible enumerator, new seen, incompatible source-splits, keep sum, keep sink-pending, keep seen",
			refused: []string{`step "in": the snapshot holds the enumerator of a source`}},
		{name: "several things at once", shape: shape{textual: true, without: "kept", parallelism: 130}, code: exitcode.Refused,
			fates:   "keep enumerator, re-cut source-splits, incompatible sum, re-cut sink-pending, dropped seen",
			refused: []string{"was int64, is now string", `"kept" (`, "is larger than the max parallelism"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newChanging(t)
			c.run(c.shaped(shape{}), 60)
			c.flags.DropUncommitted = test.drop
			before := c.contents()
			preview, err := weir.PlanOn(context.Background(), c.shaped(test.shape, test.options...), c.fs, c.flags)
			if err != nil {
				t.Fatal(err)
			}
			if got := fates(preview.Text); got != test.fates || preview.Code != test.code {
				t.Errorf("planned: %s\nwant:    %s\nexit %d, want %d; the plan is\n%s", got, test.fates, preview.Code, test.code, preview.Text)
			}
			if now := c.contents(); now != before {
				t.Errorf("looking has changed something:\n%s\nwas\n%s", now, before)
			}
			if test.refused == nil {
				sums, kept := c.complete(c.shaped(test.shape, test.options...))
				if (sums == 0) != test.sums || (kept == 0) != test.kept {
					t.Errorf("%d sums and %d kept elements are wrong", sums, kept)
				}
				return
			}
			_, err = weir.StartOn(context.Background(), c.shaped(test.shape, test.options...), c.fs, c.flags)
			var refused *start.Error
			if !errors.As(err, &refused) || refused.Code != test.code {
				t.Fatalf("the start: %v", err)
			}
			_, why, _ := strings.Cut(preview.Text, "the start would be refused: ")
			contains(t, err, append(test.refused, why)...)
			if now := c.contents(); now != before {
				t.Errorf("the refused start has changed something:\n%s\nwas\n%s", now, before)
			}
			if sums, kept := c.complete(c.shaped(shape{})); sums+kept > 0 {
				t.Errorf("after the refusal %d sums and %d kept elements are wrong", sums, kept)
			}
		})
	}
}

// TestLeftBehindIsSaid shows that a state that its step does not declare any more is named in the log of the start that leaves it behind.
func TestLeftBehindIsSaid(t *testing.T) {
	c := newChanging(t)
	c.run(c.shaped(shape{}), 60)
	log := &lines{}
	c.log = log.logger()
	c.complete(c.shaped(shape{fewer: true}, checkpoint.AllowNonRestoredState()))
	for _, state := range []string{`step=sums state=sum kind=value`, `step=kept state=seen kind="split list"`} {
		if n := log.count(state); n != 1 {
			t.Errorf("%s is said %d times", state, n)
		}
	}
	if n := log.count("left behind"); n != 2 {
		t.Errorf("%d states were left behind, want 2", n)
	}
}

// fates returns the words of a plan's lines for states, without those of clocks.
func fates(plan string) string {
	var all []string
	for l := range strings.Lines(plan) {
		fields := strings.Fields(l)
		if !strings.HasPrefix(l, "  ") || len(fields) < 2 || strings.HasPrefix(fields[1], "watermark") || strings.HasPrefix(fields[1], "event-time") {
			continue
		}
		all = append(all, fields[0]+" "+strings.Trim(fields[1], ",:"))
	}
	return strings.Join(all, ", ")
}

// contents lists the files of the job, in the test's file system and in the real one, with their sizes. The lock says who had it last.
func (c *changing) contents() string {
	var all []string
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := c.fs.List(context.Background(), dir)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, fmt.Sprintf("%s/%s %d %x", dir, e.Name, e.Size, content(c, dir+"/"+e.Name, e)))
			if e.Dir {
				walk(dir + "/" + e.Name)
			}
		}
	}
	walk(c.dir)
	real, err := filepath.Glob(c.dir + "/*")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range real {
		if info, err := os.Stat(name); err == nil {
			all = append(all, fmt.Sprint(name, info.Size()))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func content(c *changing, path string, e storage.Entry) string {
	if e.Dir {
		return ""
	}
	r, err := c.fs.Open(context.Background(), path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// claiming is a world with a snapshot from which others start: a checkpoint of a job that was cancelled.
func claiming(t *testing.T) (w *world, path string) {
	w = newWorld(t, 2, 40)
	w.sink = discard.Sink[string]()
	path = w.upTo(2, 30, cancelJob, weir.Canceled).Checkpoint
	w.another(path, "CLAIM")
	return w, path
}

// another lets the next run be one of another line, which starts from a snapshot.
func (w *world) another(path, mode string) {
	w.dir = w.t.TempDir()
	w.set["execution.state-recovery.path"] = path
	w.set["execution.state-recovery.claim-mode"] = mode
}

func (w *world) exists(path string) bool {
	entries, err := w.fs.List(context.Background(), path)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(entries) > 0
}

// TestClaimedSnapshotIsDeletedWhenReplaced shows who deletes what a job was started from, in both modes however they are written: with CLAIM the job, when
// as many newer ones as it retains are complete; with NO_CLAIM nobody.
func TestClaimedSnapshotIsDeletedWhenReplaced(t *testing.T) {
	for _, test := range []struct {
		mode     string
		retained string
		exists   bool
	}{
		{"CLAIM", "1", false}, {"claim", "2", false}, {"CLAIM", "1000", true},
		{"NO_CLAIM", "1", true}, {"no_claim", "1", true},
	} {
		t.Run(test.mode+" "+test.retained, func(t *testing.T) {
			w, path := claiming(t)
			w.another(path, test.mode)
			w.set["execution.checkpointing.num-retained"] = test.retained
			w.set["execution.checkpointing.externalized-checkpoint-retention"] = "RETAIN_ON_CANCELLATION"
			w.upTo(1, 60, cancelJob, weir.Canceled)
			if w.exists(path) != test.exists {
				t.Errorf("it exists: %v", w.exists(path))
			}
		})
	}
}

// TestClaimSurvivesCrashes shows that a snapshot is the line's own from the moment it was claimed: the process dies before its first
// checkpoint, and the next start needs no flag to go on from the snapshot, and deletes it in the end.
func TestClaimSurvivesCrashes(t *testing.T) {
	w, path := claiming(t)
	for range 2 { // the second time it is restored by the record alone
		w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
		e := w.start(context.Background(), 2)
		e.Abort()
		w.end(e, weir.Aborted)
		if !w.exists(path) {
			t.Fatal("it was deleted without a checkpoint that takes its place")
		}
		delete(w.set, "execution.state-recovery.path")
	}
	w.options = nil
	w.upTo(1, 50, abort, weir.Aborted)
	if w.exists(path) {
		t.Error("it was not deleted")
	}
	w.upTo(3, 70, suspend, weir.Suspended)
}

// TestClaimedSnapshotEndsWithTheJob shows that the job's retention counts for a claimed snapshot too, and never for one that is not.
func TestClaimedSnapshotEndsWithTheJob(t *testing.T) {
	for _, test := range []struct {
		mode, retention string
		exists          bool
	}{
		{"CLAIM", "NO_EXTERNALIZED_CHECKPOINTS", false}, {"CLAIM", "RETAIN_ON_CANCELLATION", true}, {"NO_CLAIM", "NO_EXTERNALIZED_CHECKPOINTS", true},
	} {
		w, path := claiming(t)
		w.another(path, test.mode)
		w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
		w.set["execution.checkpointing.externalized-checkpoint-retention"] = test.retention
		e := w.start(context.Background(), 2)
		e.Cancel()
		w.end(e, weir.Canceled)
		if w.exists(path) != test.exists {
			t.Errorf("%s, %s: it exists: %v", test.mode, test.retention, w.exists(path))
		}
	}
}

// TestClaimTwice shows that a snapshot is not claimed by two jobs, nor one that its job would come back to; that a start without claiming
// is possible nevertheless; and that claiming takes a checkpoint directory.
func TestClaimTwice(t *testing.T) {
	w, path := claiming(t)
	w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
	e := w.start(context.Background(), 2)
	e.Abort()
	w.end(e, weir.Aborted)

	refused := func(code exitcode.Code, parts ...string) {
		t.Helper()
		_, err := weir.StartOn(context.Background(), w.job(1), w.fs, w.flags)
		var start *start.Error
		if !errors.As(err, &start) || start.Code != code {
			t.Fatalf("%v", err)
		}
		contains(t, err, parts...)
	}
	first := w.dir
	w.another(path, "CLAIM")
	refused(exitcode.Refused, path+" cannot be claimed: it belongs to job \"test\" in "+first+", which has claimed it", "--claim-mode NO_CLAIM")
	w.set["execution.state-recovery.claim-mode"], w.options = "NO_CLAIM", nil
	w.upTo(1, 50, suspend, weir.Suspended)

	own := newWorld(t, 1, 40)
	own.sink = discard.Sink[string]()
	path = own.upTo(1, 30, suspend, weir.Suspended).Checkpoint
	first = own.dir
	own.another(path, "CLAIM")
	w = own
	refused(exitcode.Refused, "it belongs to job \"test\" in "+first+", which has taken it and goes on from it when it is started again")
	w.dir = ""
	refused(exitcode.Usage, "cannot be claimed without a checkpoint directory")
	w.dir = t.TempDir()
	w.set["execution.state-recovery.claim-mode"] = "LEGACY"
	_, err := weir.StartOn(context.Background(), w.job(1), w.fs, w.flags)
	contains(t, err, "NO_CLAIM, which never deletes it")
}

// TestCheckpointsWithoutSubdirectory shows the layout of create-subdir=false, that a line goes on when the option is changed between two runs, in both
// directions, that ids go past whatever lies there, and that a directory with anything else in it is refused by name.
func TestCheckpointsWithoutSubdirectory(t *testing.T) {
	w := newWorld(t, 2, 60)
	flat := func(on bool) {
		w.set["execution.checkpointing.create-subdir"] = strconv.FormatBool(!on)
		w.set["execution.checkpointing.num-retained"] = "2"
	}
	parent := func(r weir.Result) string { return filepath.Dir(r.Checkpoint) }
	checkpoints := func(dir string) (n int) {
		entries, err := w.fs.List(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name, "chk-") {
				n++
			}
		}
		return n
	}
	refused := func(parts ...string) {
		t.Helper()
		_, err := weir.StartOn(context.Background(), w.job(1), w.fs, w.flags)
		var start *start.Error
		if !errors.As(err, &start) || start.Code != exitcode.Refused {
			t.Fatalf("%v", err)
		}
		contains(t, err, parts...)
	}

	flat(true)
	if r := w.upTo(2, 30, suspend, weir.Suspended); parent(r) != w.dir {
		t.Errorf("the checkpoint is %s", r.Checkpoint)
	}
	if r := w.upTo(1, 50, abort, weir.Aborted); parent(r) != w.dir && r.Checkpoint != "" {
		t.Errorf("the checkpoint is %s", r.Checkpoint)
	}
	flat(false)
	nested := w.upTo(3, 70, suspend, weir.Suspended)
	if parent(nested) == w.dir || checkpoints(w.dir) > 0 {
		t.Errorf("the checkpoint is %s, beside %d directly in %s", nested.Checkpoint, checkpoints(w.dir), w.dir)
	}

	if err := w.fs.MakeDir(context.Background(), w.dir+"/chk-70000"); err != nil {
		t.Fatal(err)
	}
	flat(true)
	again := w.upTo(2, 90, suspend, weir.Suspended)
	if id, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(again.Checkpoint), "chk-")); parent(again) != w.dir || id <= 70000 {
		t.Errorf("the checkpoint is %s", again.Checkpoint)
	}
	if n := checkpoints(parent(nested)); n > 0 {
		t.Errorf("%d checkpoints of the runs before are left", n)
	}

	for _, stranger := range []string{"notes.txt", "other.line", "0123456789abcdef0123456789abcdef/chk-1/_metadata", "chk-07/x"} {
		path := w.dir + "/" + stranger
		if err := w.fs.PutIfAbsent(context.Background(), path, []byte("x")); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(stranger, "/")
		refused("create-subdir=false", "must be this job's alone", "lie also "+name)
		if err := w.fs.RemoveAll(context.Background(), w.dir+"/"+name); err != nil {
			t.Fatal(err)
		}
		if err := w.fs.Remove(context.Background(), path); err != nil {
			t.Fatal(err)
		}
	}

	// Another job does not start beside it, with the option or without.
	other := func() *weir.Job {
		j := weir.NewJob("other")
		j.Logger(logger(t))
		j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.Dir(w.dir))
		weir.To(weir.From(j, "in", w.in), "out", discard.Sink[reading]())
		return j
	}
	_, err := weir.StartOn(context.Background(), other(), w.fs, start.Flags{})
	contains(t, err, `job "test" keeps its checkpoints directly in `+w.dir)
	j := other()
	j.Set("execution.checkpointing.create-subdir", "false")
	_, err = weir.StartOn(context.Background(), j, w.fs, start.Flags{})
	contains(t, err, "must be this job's alone", "test.line")

	// A lost record does not make the checkpoints invisible.
	if err := w.fs.Remove(context.Background(), w.dir+"/test.line"); err != nil {
		t.Fatal(err)
	}
	refused("the file that says how they belong together is gone", again.Checkpoint)
	flat(false)
	refused("the file that says how they belong together is gone", again.Checkpoint)
	w.set["execution.state-recovery.path"] = again.Checkpoint
	flat(true)
	w.finish(2)
}
