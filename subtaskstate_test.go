package weir_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/state"
)

// shares keeps in a union list what its subtask is responsible for. When the job goes on, the subtasks deal all of it out anew.
type shares[K comparable] struct {
	Name string
	Mine state.UnionList[reading] `state:"mine"`
}

func (p *shares[K]) Open(c *weir.Ctx[K, string]) error {
	var mine []reading
	for r := range p.Mine.All() {
		if (r.Key+r.Seq)%c.Parallelism() == c.Subtask() {
			mine = append(mine, r)
		}
	}
	p.Mine.Set(mine)
	return nil
}

func (p *shares[K]) On(_ *weir.Ctx[K, string], r reading) error {
	p.Mine.Append(r)
	return nil
}

func (p *shares[K]) Finish(c *weir.Ctx[K, string]) error {
	for r := range p.Mine.All() {
		c.Emit(fmt.Sprintf("%s %d %d", p.Name, r.Key, r.Seq))
	}
	return nil
}

// keyedShares has the union list beside the state of keys.
type keyedShares struct {
	shares[int]
	Seen state.Value[int] `state:"seen"`
}

func (p *keyedShares) On(c *weir.Ctx[int, string], r reading) error {
	if p.Seen.Get()*2 != r.Seq {
		return fmt.Errorf("record %d of key %d after %d", r.Seq, r.Key, p.Seen.Get())
	}
	p.Seen.Set(p.Seen.Get() + 1)
	return p.shares.On(c, r)
}

// table has in every subtask the sum of each key.
type table struct {
	Sums state.Broadcast[int, int] `state:"sums"`
}

func (p *table) On(_ *weir.Ctx[weir.NoKey, string], r reading) error {
	sum, _ := p.Sums.Get(r.Key)
	p.Sums.Put(r.Key, sum+r.Seq+1)
	return nil
}

// Finish emits the table of the first and of the last subtask.
func (p *table) Finish(c *weir.Ctx[weir.NoKey, string]) error {
	for k, sum := range p.Sums.All() {
		if c.Subtask() == 0 {
			c.Emit(fmt.Sprintf("first table %d: %d", k, sum))
		}
		if c.Subtask() == c.Parallelism()-1 {
			c.Emit(fmt.Sprintf("last table %d: %d", k, sum))
		}
	}
	return nil
}

// either is a record of a step that reads two streams: one that all its subtasks see, and one that is dealt out among them.
type either struct {
	ForAll bool
	reading
}

// joined holds records until the end, and says then how many rules there are for the key of each.
type joined struct {
	Rules state.Broadcast[int, int] `state:"rules"`
	Held  state.List[reading]       `state:"held"`
}

func (p *joined) On(_ *weir.Ctx[weir.NoKey, string], e either) error {
	if e.ForAll {
		n, _ := p.Rules.Get(e.Key)
		p.Rules.Put(e.Key, n+1)
		return nil
	}
	p.Held.Append(e.reading)
	return nil
}

func (p *joined) Finish(c *weir.Ctx[weir.NoKey, string]) error {
	for r := range p.Held.All() {
		n, _ := p.Rules.Get(r.Key)
		c.Emit(fmt.Sprintf("joined %d %d with %d", r.Key, r.Seq, n))
	}
	return nil
}

// addSubtaskState adds steps with union lists and maps to a world.
func addSubtaskState(w *world) {
	sums, rules := map[int]int{}, map[int]int{}
	for _, split := range w.in.splits {
		for _, r := range split {
			if r.Seq%2 == 0 {
				sums[r.Key] += r.Seq + 1
				rules[r.Key]++
			}
		}
	}
	for k, sum := range sums {
		w.wantAlso = append(w.wantAlso, fmt.Sprintf("first table %d: %d", k, sum), fmt.Sprintf("last table %d: %d", k, sum))
	}
	w.more = func(_ *weir.Job, in weir.Stream[reading]) weir.Stream[string] {
		return weir.Union(
			weir.ProcessPlain(in, "chained shares", &shares[weir.NoKey]{Name: "chained"}),
			weir.ProcessPlain(weir.Rebalance(in), "shares", &shares[weir.NoKey]{Name: "plain"}),
			weir.Process(weir.KeyBy(in, func(r reading) int { return r.Key }), "keyed shares", &keyedShares{shares: shares[int]{Name: "keyed"}}),
			weir.ProcessPlain(weir.Broadcast(in), "table", &table{}),
			weir.ProcessPlain(weir.Union(
				weir.Broadcast(weir.Map(in, func(r reading) either { return either{true, r} })),
				weir.Rebalance(weir.Map(in, func(r reading) either { return either{false, r} })),
			), "joined", &joined{}),
		)
	}
	w.wantMore = func(r reading) (all []string) {
		for _, how := range []string{"chained", "plain", "keyed"} {
			all = append(all, fmt.Sprintf("%s %d %d", how, r.Key, r.Seq))
		}
		return append(all, fmt.Sprintf("joined %d %d with %d", r.Key, r.Seq, rules[r.Key]))
	}
}

// TestSubtaskState shows that union lists and maps are restored exactly once over failures, restarts and new processes at other
// parallelisms, on plain and on keyed streams, and when the subtasks of a source end one after the other.
func TestSubtaskState(t *testing.T) {
	stories(t, 50, func(t *testing.T, seed uint64) {
		s := newStory(t, seed)
		addSubtaskState(s.world)
		s.tell(s.check)
	})
}

// TestSubtaskStateRescale shows the same from one subtask to three to two, with files, after a stop and after a kill.
func TestSubtaskStateRescale(t *testing.T) {
	for name, stop := range map[string]func(*weir.Execution, func()){"suspended": suspend, "aborted": abort} {
		t.Run(name, func(t *testing.T) {
			status := map[string]weir.Status{"suspended": weir.Suspended, "aborted": weir.Aborted}[name]
			w := newWorld(t, 5, 60)
			w.set["execution.checkpointing.data-inline-threshold"] = "0" // so that state is in files
			addSubtaskState(w)
			w.upTo(1, 50, stop, status)
			w.upTo(3, 100, stop, status)
			w.upTo(2, 150, stop, status)
			w.finish(2)
		})
	}
}

// census puts the number of its subtask into each kind of state, once, and says in Open what it has found.
type census struct {
	Split  state.List[int]
	Union  state.UnionList[int]
	Copy   state.Broadcast[string, int]
	Found  *findings `weir:"shared"`
	member bool
}

// findings holds what the subtasks of a run have found, by subtask.
type findings struct {
	mu    sync.Mutex // guards found
	found map[int]string
}

func (p *census) Open(c *weir.Ctx[weir.NoKey, string]) error {
	p.Found.mu.Lock()
	defer p.Found.mu.Unlock()
	owner, ok := p.Copy.Get("owner")
	p.Found.found[c.Subtask()] = fmt.Sprintf("split %v union %v copy %d %v", slices.Collect(p.Split.All()), slices.Collect(p.Union.All()), owner, ok)
	p.member = ok
	return nil
}

func (p *census) On(c *weir.Ctx[weir.NoKey, string], _ reading) error {
	if !p.member {
		p.member = true
		p.Split.Append(c.Subtask())
		p.Union.Append(c.Subtask())
		p.Copy.Put("owner", c.Subtask())
	}
	return nil
}

// TestWhoGetsWhat shows what each subtask is restored with, kind by kind: at the same parallelism a list and a map of its own and all of a
// union; at another the list is dealt out and subtask i has the map of subtask i modulo the number there were. A union that nobody cuts
// down to his share grows.
func TestWhoGetsWhat(t *testing.T) {
	w := newWorld(t, 2, 60)
	found := &findings{}
	w.more = func(_ *weir.Job, in weir.Stream[reading]) weir.Stream[string] {
		found.found = map[int]string{}
		return weir.ProcessPlain(weir.Rebalance(in), "census", &census{Found: found})
	}
	for _, c := range []struct {
		position, parallelism int
		want                  []string
	}{
		{40, 2, []string{"split [] union [] copy 0 false", "split [] union [] copy 0 false"}},
		{60, 2, []string{"split [0] union [0 1] copy 0 true", "split [1] union [0 1] copy 1 true"}},
		{80, 3, []string{"split [0] union [0 1 0 1] copy 0 true", "split [1] union [0 1 0 1] copy 1 true", "split [] union [0 1 0 1] copy 0 true"}},
		{100, 1, []string{"split [0 1] union [0 1 0 1 0 1 0 1 0 1 0 1] copy 0 true"}},
	} {
		w.upTo(c.parallelism, c.position, suspend, weir.Suspended)
		for i, want := range c.want {
			if got := found.found[i]; got != want {
				t.Errorf("parallelism %d, subtask %d: %s, want %s", c.parallelism, i, got, want)
			}
		}
	}
	w.finish(1)
}

// TestUnionHoldsCheckpointsUp shows that no checkpoint completes while a subtask of a step with a union list has ended and another has not,
// that the log names the step, and that all goes on when the others have ended.
func TestUnionHoldsCheckpointsUp(t *testing.T) {
	w := newWorld(t, 2, 40)
	log := &lines{}
	w.log = log.logger()
	addSubtaskState(w)
	w.in.together = false
	w.in.hold(0, 30)
	w.in.hold(1, 30)
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 2)
	w.in.release(0)
	log.await(t, `No checkpoint completes until all subtasks of step "chained shares" have ended`)
	before := e.Progress().Checkpoint
	until(t, e, "failed checkpoints", func() bool { return e.Progress().Checkpoint.Failed >= before.Failed+3 })
	if n := e.Progress().Checkpoint.Completed; n != before.Completed {
		t.Errorf("%d checkpoints have completed", n-before.Completed)
	}
	if n := log.count("No checkpoint completes until"); n != 1 {
		t.Errorf("that was said %d times", n)
	}
	w.finishRunning(e)
}
