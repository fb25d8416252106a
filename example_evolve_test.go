package weir_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/savepoint"
	"github.com/weirstream/weir/state"
)

// The first version of a processor's state.
type cartV1 struct {
	Total state.Value[int32]  `state:"total"` // in cents
	Last  state.Value[itemV1] `state:"last"`
}

type itemV1 struct {
	Name  string
	Price float32
}

// The second: the total is another type, which takes a migration; the item has evolved, and its state has another name.
type cartV2 struct {
	Total state.Value[price]  `state:"total"`
	Item  state.Value[itemV2] `state:"item,formerly=last"`
}

type price struct {
	Cents    int64
	Currency string
}

type itemV2 struct {
	Count int    `codec:",default=1"`
	Title string `codec:",formerly=Name"`
	Price float64
}

func (*cartV2) Migrations() []state.Migration {
	return []state.Migration{state.Migrate("total", func(cents int32) (price, error) { return price{int64(cents), "EUR"}, nil })}
}

func (p *cartV2) On(c *weir.Ctx[string, string], user string) error {
	c.Emit(fmt.Sprintf("%s: %+v %+v", user, p.Total.Get(), p.Item.Get()))
	return nil
}

// A job goes on from the state of an earlier version of its program. --plan says what becomes of it, before it is started.
func ExamplePlan_evolution() {
	dir, err := os.MkdirTemp("", "evolution")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	old := filepath.Join(dir, "old") // in place of a savepoint that the first version has left
	w := savepoint.New("shop")
	var v1 cartV1
	carts, err := savepoint.AddKeyed[string](w, "carts", &v1)
	if err != nil {
		panic(err)
	}
	for i, user := range []string{"ann", "bob"} {
		carts.Key(user)
		v1.Total.Set(int32(100 * (i + 1)))
		v1.Last.Set(itemV1{"tea", 2.5})
	}
	if err := w.Write(context.Background(), old); err != nil {
		panic(err)
	}

	out := memory.Collect[string]()
	job := func() *weir.Job {
		j := exampleJob()
		j.Set("execution.state-recovery.path", old)
		users := weir.From(j, "users", datagen.Source(3, func(i int64) string { return []string{"ann", "bob", "cleo"}[i] }))
		weir.To(weir.Process(weir.KeyBy(users, weir.Self), "carts", &cartV2{}), "out", out)
		return j
	}
	plan, err := weir.Plan(context.Background(), job())
	if err != nil {
		panic(err)
	}
	fmt.Println(plan.Verdict)
	for _, step := range plan.Steps {
		for _, s := range step.States {
			if s.Fate == weir.StateEvolves {
				fmt.Printf("%s %s:\n  %s\n", step.Name, s.Name, strings.Join(s.Changes, "\n  "))
			}
		}
	}
	runExample(job())
	lines := out.Records()
	slices.Sort(lines)
	fmt.Println(strings.Join(lines, "\n"))
	// Output:
	// keeps all
	// carts total:
	//   migrated by the program from int32
	// carts item:
	//   field Count: is new (int64), 1 at first
	//   field Title: was named Name
	//   field Price: float32 becomes float64
	// ann: {Cents:100 Currency:EUR} {Count:1 Title:tea Price:2.5}
	// bob: {Cents:200 Currency:EUR} {Count:1 Title:tea Price:2.5}
	// cleo: {Cents:0 Currency:} {Count:0 Title: Price:0}
}
