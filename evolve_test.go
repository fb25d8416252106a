package weir_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/savepoint"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/window"
)

// tallied is what the first version of the step "counts" keeps.
type tallied struct {
	Count state.Value[int64]             `state:"count"`
	Rules state.Broadcast[string, int32] `state:"rules"`
}

// retallied cannot read it.
type retallied struct {
	Count state.Value[string]              `state:"count"`
	Rules state.Broadcast[string, []int64] `state:"rules"`
}

func (*retallied) On(c *weir.Ctx[string, string], user string) error { c.Emit(user); return nil }

// migratedTally could, but for one key.
type migratedTally struct{ retallied }

func (*migratedTally) Migrations() []state.Migration {
	return []state.Migration{state.Migrate("count", func(n int64) (string, error) {
		if n == 2 {
			return "", errors.New("two is one too many")
		}
		return strings.Repeat("I", int(n)), nil
	})}
}

// TestRefusedEvolution: state that the program cannot read is refused before the job starts, in words that say what to do, and one that its own
// migration cannot make anything of during the restore, naming the key. Neither way is anything written, and the snapshot is there for
// another attempt.
func TestRefusedEvolution(t *testing.T) {
	w := savepoint.New("counts")
	var p tallied
	keys, err := savepoint.AddKeyed[string](w, "counts", &p)
	if err != nil {
		t.Fatal(err)
	}
	for n, user := range []string{"ann", "bob", "cleo"} {
		keys.Key(user)
		p.Count.Set(int64(n))
	}
	p.Rules.Put("max", 5)
	path := filepath.Join(t.TempDir(), "old")
	if err := w.Write(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	out := memory.Collect[string]()
	job := func(p weir.Processor[string, string, string]) *weir.Job {
		j := exampleJob()
		j.Set("execution.state-recovery.path", path)
		j.Set("restart-strategy.type", "fixed-delay")
		users := weir.From(j, "users", datagen.Source(3, func(i int64) string { return "ann" }))
		weir.To(weir.Process(weir.KeyBy(users, weir.Self), "counts", p), "out", out)
		return j
	}
	const why = `step "counts": state "count" (field Count): value: was int64, is now string; to keep it, give the processor a migration: state.Migrate("count", func(old int64) (string, error) { ... })`
	plan, err := weir.Plan(t.Context(), job(&retallied{}))
	if err != nil || plan.Verdict != weir.WouldNotStart || !strings.Contains(plan.Why, why) {
		t.Errorf("%v, %v", plan, err)
	}
	if text := plan.String(); !strings.Contains(text, "evolve        rules, broadcast list struct{Key string; Value []int64}: field Value: int32 becomes []int64") {
		t.Errorf("the plan says\n%s", text)
	}
	if _, err := weir.Run(context.Background(), job(&retallied{})); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("it is started: %v", err)
	}
	_, err = weir.Run(context.Background(), job(&migratedTally{}))
	if err == nil || !strings.Contains(err.Error(), `key cleo: state "count": its migration from int64: two is one too many`) || !strings.Contains(err.Error(), `step "counts"`) {
		t.Errorf("a failing migration: %v", err)
	}
	if n := len(out.Records()); n > 0 {
		t.Errorf("%d records were written", n)
	}
	s, err := savepoint.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for user, err := range savepoint.Keys[string](t.Context(), s, "counts", &p) {
		if err != nil || user == "cleo" && p.Count.Get() != 2 {
			t.Errorf("%s has %d, %v", user, p.Count.Get(), err)
		}
	}
}

// revenue was an int64, in cents.
type revenue struct {
	Cents    int64
	Currency string
}

func (revenue) Migrations() []state.Migration {
	var all []state.Migration
	for _, name := range []string{"accumulator", "panes", "value"} {
		all = append(all, state.Migrate(name, func(cents int64) (revenue, error) { return revenue{cents, "EUR"}, nil }))
	}
	return all
}

// misnamed has a migration of a state that no step has.
type misnamed struct{ Cents int32 }

func (misnamed) Migrations() []state.Migration {
	return []state.Migration{state.Migrate("accumulater", func(cents int64) (misnamed, error) { return misnamed{int32(cents)}, nil })}
}

// What Aggregate, Window and Reduce keep becomes what it is by the migrations of its type.
func TestMigratingTypes(t *testing.T) {
	w := savepoint.New("sums")
	var (
		aggregated struct {
			Acc state.Value[int64] `state:"accumulator"`
		}
		windowed struct {
			Panes state.Map[int64, int64] `state:"panes"`
			End   state.Timer             `timer:"end,event"`
		}
		reduced struct {
			Sum  state.Value[int64] `state:"value"`
			Some state.Value[bool]  `state:"present"`
		}
	)
	for step, p := range map[string]any{"aggregate": &aggregated, "window": &windowed, "reduce": &reduced} {
		keys, err := savepoint.AddKeyed[string](w, step, p)
		if err != nil {
			t.Fatal(err)
		}
		keys.Key("ann")
	}
	aggregated.Acc.Set(100)
	windowed.Panes.Put(0, 200)
	windowed.End.AtMillis(59_999)
	reduced.Sum.Set(300)
	reduced.Some.Set(true)
	path := filepath.Join(t.TempDir(), "old")
	if err := w.Write(t.Context(), path); err != nil {
		t.Fatal(err)
	}

	j := exampleJob()
	j.Set("execution.state-recovery.path", path)
	payments := weir.From(j, "payments", datagen.Source(1, func(int64) revenue { return revenue{5, "EUR"} }))
	ann := weir.KeyBy(weir.EventTime(payments, func(revenue) time.Time { return time.UnixMilli(0) }), func(revenue) string { return "ann" })
	add := func(sum *revenue, r revenue) {
		sum.Cents, sum.Currency = sum.Cents+r.Cents, sum.Currency+"+"+r.Currency
	}
	result := func(_ string, sum revenue) revenue { return sum }
	var out [3]*memory.Collector[revenue]
	for i := range out {
		out[i] = memory.Collect[revenue]()
	}
	weir.To(weir.Aggregate(ann, "aggregate", add, result), "a", out[0])
	weir.To(weir.Window(ann, "window", window.Tumbling(time.Minute), add, func(_ string, _ window.Span, sum revenue) revenue { return sum }), "w", out[1])
	weir.To(weir.Reduce(ann, "reduce", func(sum, r revenue) revenue { add(&sum, r); return sum }), "r", out[2])
	if _, err := weir.Run(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	for i, want := range []revenue{{105, "EUR+EUR"}, {205, "EUR+EUR"}, {305, "EUR+EUR"}} {
		if got := out[i].Records(); !slices.Equal(got, []revenue{want}) {
			t.Errorf("got %v, want %v", got, want)
		}
	}

	j = exampleJob()
	numbers := weir.KeyBy(weir.From(j, "numbers", datagen.Source(1, func(i int64) int64 { return i })), func(int64) string { return "" })
	weir.To(weir.Aggregate(numbers, "sum", func(*misnamed, int64) {}, func(string, misnamed) int64 { return 0 }), "out", memory.Collect[int64]())
	if _, err := weir.Run(t.Context(), j); err == nil || !strings.Contains(err.Error(), `there is a migration of state "accumulater", but no such state`) {
		t.Errorf("a migration of no state: %v", err)
	}
}

// revised is what tallied has become, by a migration of each state.
type revised struct {
	Count state.Value[int64]              `state:"count"`
	Rules state.Broadcast[string, string] `state:"rules"`
}

func (*revised) Migrations() []state.Migration {
	return []state.Migration{
		state.Migrate("rules", func(old int32) (int64, error) { return int64(old) * 10, nil }),
		state.Migrate("rules", func(old int64) (string, error) {
			if old == 660 {
				return "", errors.New("no such rule")
			}
			return strconv.FormatInt(old, 10), nil
		}),
	}
}

// TestMigratedBroadcast: a migration of a state.Broadcast is given its values, as that of a map is, and keeps their keys; an error names the key.
func TestMigratedBroadcast(t *testing.T) {
	written := func(max int32) *savepoint.Snapshot {
		w := savepoint.New("counts")
		var p tallied
		if _, err := savepoint.AddKeyed[string](w, "counts", &p); err != nil {
			t.Fatal(err)
		}
		p.Rules.Put("min", 1)
		p.Rules.Put("max", max)
		path := filepath.Join(t.TempDir(), "old")
		if err := w.Write(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		s, err := savepoint.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var p revised
	for _, err := range savepoint.Subtasks(t.Context(), written(5), "counts", &p) {
		if err != nil {
			t.Fatal(err)
		}
		min, _ := p.Rules.Get("min")
		max, _ := p.Rules.Get("max")
		if min != "10" || max != "50" || p.Rules.Len() != 2 {
			t.Errorf("min is %q, max %q, of %d rules", min, max, p.Rules.Len())
		}
	}
	for _, err := range savepoint.Subtasks(t.Context(), written(66), "counts", &p) {
		if err == nil || !strings.Contains(err.Error(), `its migration from int64: key max: no such rule`) {
			t.Errorf("a failing migration: %v", err)
		}
	}
}
