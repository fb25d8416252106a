package sim_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/sim"
	"github.com/weirstream/weir/state"
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

// play runs the job in a world and compares what it commits with what it would if nothing had happened.
func play(d sim.Decisions, crashAt int) sim.Report {
	w := sim.New(sim.Config{Decisions: d, Troubles: int(d.Seed % 8), CrashAt: crashAt, Parallelism: []int{1, 2, 3}})
	in := clicks(1+w.Pick(3), 20+w.Pick(60))
	out := sim.NewOutput[string](w)
	inline := w.Pick(2) == 0
	retain := 1 + w.Pick(2)
	timeout := []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, time.Second}[w.Pick(3)]
	r := w.Play(func(ctx context.Context, p sim.Process) (*local.Execution, error) {
		j := weir.NewJob("clicks")
		j.Logger(slog.New(slog.DiscardHandler))
		j.Checkpoint(checkpoint.Every(10*time.Millisecond), checkpoint.Dir(sim.Dir), checkpoint.KeepOnCancel(), checkpoint.TolerateFailures(1<<30),
			checkpoint.Timeout(timeout), checkpoint.Retain(retain))
		source := weir.From(j, "clicks", &sim.Input[click]{World: w, Splits: in})
		timed := weir.EventTime(source, func(c click) int64 { return c.At })
		visited := weir.Process(weir.KeyBy(timed, func(c click) string { return c.User }), "visits", &visits{})
		weir.To(weir.Process(weir.KeyBy(visited, func(v visit) string { return v.Page }), "pages", &pages{}), "out", out)
		set := map[string]string{
			"parallelism.default": fmt.Sprint(p.Parallelism), "restart-strategy.type": "fixed-delay",
			"restart-strategy.fixed-delay.attempts": "1000", "restart-strategy.fixed-delay.delay": "1 ms",
		}
		if !inline {
			set["execution.checkpointing.data-inline-threshold"] = "0" // so that state is in files
		}
		return door.Start(ctx, j, door.Runtime{FS: p.FS, Now: p.Now, Scheduler: p.Scheduler, Set: set})
	})
	if r.Err == nil {
		r.Err = compare(out.Records(), want(in))
	}
	return r
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

// TestExactlyOnce shows that a job of three stages commits each result once, whatever happens to it.
func TestExactlyOnce(t *testing.T) {
	sim.Suite(t, "testdata/exactly-once", 200, func(d sim.Decisions) sim.Report { return play(d, 0) })
}
