package weir_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/savepoint"
	"github.com/weirstream/weir/state"
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
