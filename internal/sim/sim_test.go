package sim_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/sim"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/storage"
)

// click is a record of the job that is simulated.
type click struct {
	User, Page string
	At         int64
}

// visits numbers each user's clicks, and says how many there were when event time has passed them all.
type visits struct {
	Count state.Value[int]       `state:"count"`
	Pages state.Map[string, int] `state:"pages"`
	End   weir.Timer             `timer:"end,event"`
}

type visit struct {
	User, Page string
	N          int
}

func (v *visits) On(c *weir.Ctx[string, visit], e click) error {
	v.Count.Set(v.Count.Get() + 1)
	n, _ := v.Pages.Get(e.Page)
	v.Pages.Put(e.Page, n+1)
	v.End.AtMillis(1 << 40)
	c.Emit(visit{e.User, e.Page, v.Count.Get()})
	return nil
}

func (v *visits) OnTimer(c *weir.Ctx[string, visit], _ *weir.Timer) error {
	all := 0
	for _, n := range v.Pages.All() {
		all += n
	}
	if all != v.Count.Get() {
		return fmt.Errorf("%s: %d pages, %d visits", c.Key(), all, v.Count.Get())
	}
	c.Emit(visit{c.Key(), "end", all})
	return nil
}

// pages adds up the visits of each page.
type pages struct {
	Sum  state.Value[int]   `state:"sum"`
	Last state.List[string] `state:"last"`
}

func (p *pages) On(c *weir.Ctx[string, string], v visit) error {
	p.Sum.Set(p.Sum.Get() + 1)
	p.Last.Append(v.User)
	c.Emit(fmt.Sprintf("page %s: visit %d of %s", v.Page, v.N, v.User))
	if p.Sum.Get()%5 == 0 {
		if p.Last.Len() != p.Sum.Get() {
			return fmt.Errorf("%s: %d users, %d visits", v.Page, p.Last.Len(), p.Sum.Get())
		}
		c.Emit(fmt.Sprintf("page %s: %d visits", v.Page, p.Sum.Get()))
	}
	return nil
}

// clicks returns what users do: each user's clicks are in one split, in order.
func clicks(splits, records int) (all [][]click) {
	for s := range splits {
		var split []click
		for i := range records {
			split = append(split, click{User: fmt.Sprintf("user-%d-%d", s, i%3), Page: string(rune('a' + i*7%5)), At: int64(i)})
		}
		all = append(all, split)
	}
	return all
}

// want returns what a run commits in which nothing happens.
func want(in [][]click) (out []string) {
	byPage := map[string]int{}
	for _, split := range in {
		byUser := map[string]int{}
		add := func(user, page string, n int) {
			out = append(out, fmt.Sprintf("page %s: visit %d of %s", page, n, user))
			if byPage[page]++; byPage[page]%5 == 0 {
				out = append(out, fmt.Sprintf("page %s: %d visits", page, byPage[page]))
			}
		}
		for _, c := range split {
			byUser[c.User]++
			add(c.User, c.Page, byUser[c.User])
		}
		for _, user := range slices.Sorted(maps.Keys(byUser)) {
			add(user, "end", byUser[user])
		}
	}
	slices.Sort(out)
	return out
}

// variation is how the job and its world differ from the plainest.
type variation struct {
	asks   int // most requests of the user
	drain  bool
	doubts int
	// short is of a job that is soon at its end, some of its tasks before others, and to which nothing happens but what the user asks for.
	short bool
	more  int // clicks of each split
	// another lets a second job go on from a snapshot of the first, which has finished or is left where it is.
	another bool
	set     func(w *sim.World) map[string]string
	first   map[string]string                                                // options of the first three processes alone
	build   func(j *weir.Job, in *sim.Input[click], out *sim.Output[string]) // instead of the three stages
	want    func([][]click) []string
	judge   func(got, want []string) error
	crashAt int                          // the machine goes down after this step that changes something lasting
	files   func(sim.Process) storage.FS // what a process is given as its files; nil for those of the world
}

// play runs the job in a world and compares what it commits with what it would if nothing had happened.
func play(d sim.Decisions, v variation) sim.Report {
	c := sim.Config{Decisions: d, Troubles: int(d.Seed % 8), Parallelism: []int{1, 2, 3}, Drain: v.drain, Changelog: true, CrashAt: v.crashAt}
	if v.asks > 0 {
		c.Asks = 1 + int(d.Seed/8)%v.asks
	}
	if v.doubts > 0 {
		c.Doubts = int(d.Seed/5) % (v.doubts + 1)
	}
	if v.short {
		c.Troubles = 0
	}
	w := sim.New(c)
	in := &sim.Input[click]{World: w, Splits: clicks(1+w.Pick(3), 20+v.more+w.Pick(60))}
	if v.short {
		for i := range in.Splits {
			in.Splits[i] = in.Splits[i][:1+w.Pick(20)]
		}
	}
	out := sim.NewOutput[string](w)
	set, name := settings(w), "clicks"
	if v.set != nil {
		maps.Copy(set, v.set(w))
	}
	build := threeStages
	if v.build != nil {
		build = v.build
	}
	start := func(ctx context.Context, p sim.Process) (*jobmaster.Execution, error) {
		j := weir.NewJob(name)
		j.Logger(slog.New(slog.DiscardHandler))
		j.Checkpoint(checkpoint.Dir(sim.Dir), checkpoint.KeepOnCancel(), checkpoint.TolerateFailures(1<<30))
		build(j, in, out)
		set["parallelism.default"] = fmt.Sprint(p.Parallelism)
		own := maps.Clone(set)
		maps.Copy(own, w.Changelog())
		maps.Copy(own, p.Set)
		maps.DeleteFunc(own, func(_, value string) bool { return value == "" })
		if w.Processes() <= 3 {
			maps.Copy(own, v.first)
		}
		if v.files != nil {
			p.FS = v.files(p)
		}
		return door.Start(ctx, j, door.Runtime{FS: p.FS, Now: p.Now, Scheduler: p.Scheduler, Flags: p.Flags, Set: own})
	}
	var r sim.Report
	if !v.another || w.Pick(2) == 0 {
		r = w.Play(start)
	} else {
		r = w.PlayOne(start)
	}
	if all := w.Restorable(); v.another && r.Err == nil && len(all) > 0 {
		name = "more clicks"
		from, first := all[w.Pick(len(all))], out
		w.From(from, w.Pick(2) == 0)
		out = sim.NewOutput[string](w)
		out.After(first, from)
		r = w.Play(start)
	} else if v.another {
		return r
	}
	if r.Err == nil {
		wanted := want
		if v.want != nil {
			wanted = v.want
		}
		judge := compare
		if v.judge != nil {
			judge = v.judge
		}
		r.Err = judge(out.Records(), wanted(in.Read()))
	}
	return r
}

// settings are those of every job, some of which are left to chance.
func settings(w *sim.World) map[string]string {
	set := map[string]string{
		"execution.checkpointing.interval":     "10 ms",
		"execution.checkpointing.timeout":      []string{"20 ms", "60 ms", "1 s"}[w.Pick(3)],
		"execution.checkpointing.num-retained": fmt.Sprint(1 + w.Pick(2)),
		"restart-strategy.type":                "fixed-delay", "restart-strategy.fixed-delay.attempts": "1000", "restart-strategy.fixed-delay.delay": "1 ms",
	}
	if w.Pick(2) == 0 {
		set["execution.checkpointing.data-inline-threshold"] = "0" // so that state is in files
	}
	return set
}

// threeStages is the job with two steps that are keyed, each by something else.
func threeStages(j *weir.Job, in *sim.Input[click], out *sim.Output[string]) {
	timed := weir.EventTime(weir.From(j, "clicks", in), func(c click) int64 { return c.At })
	visited := weir.Process(weir.KeyBy(timed, func(c click) string { return c.User }), "visits", &visits{})
	weir.To(weir.Process(weir.KeyBy(visited, func(v visit) string { return v.Page }), "pages", &pages{}), "out", out)
}

func compare(got, want []string) error {
	count := map[string]int{}
	for _, s := range got {
		count[s]++
	}
	for _, s := range want {
		count[s]--
	}
	for _, s := range slices.Sorted(maps.Keys(count)) {
		if count[s] != 0 {
			return fmt.Errorf("%d records, want %d: %q is there %+d times too often", len(got), len(want), s, count[s])
		}
	}
	return nil
}

// suite plays seeds of a variation.
func suite(t *testing.T, dir string, n int, v variation) {
	sim.Suite(t, "testdata/"+dir, n, func(d sim.Decisions) sim.Report { return play(d, v) })
}

// TestExactlyOnce shows that a job of three stages commits each result once, whatever happens to it.
func TestExactlyOnce(t *testing.T) { suite(t, "exactly-once", 120, variation{doubts: 3}) }
