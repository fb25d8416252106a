package weir_test

import (
	"context"
	"fmt"
	"os"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/discard"
)

// A check that a new version of a job still takes the state of the one that runs: here the step "digits" has become "numerals", and nobody has
// said so.
func ExamplePlan() {
	dir, err := os.MkdirTemp("", "plan")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, suspend := context.WithCancel(context.Background())
	count := func(step string) *weir.Job {
		j := exampleJob()
		j.Checkpoint(checkpoint.Dir(dir))
		numbers := weir.From(j, "numbers", datagen.Source(1e9, func(i int64) int64 { return i }, datagen.Rate(1000)))
		digits := weir.Map(numbers, func(i int64) int64 {
			if i == 20 {
				suspend()
			}
			return i % 10
		})
		weir.To(weir.Count(weir.KeyBy(digits, weir.Self), step), "out", discard.Sink[weir.KV[int64, int64]]())
		return j
	}
	if _, err := weir.Run(ctx, count("digits")); err != nil {
		panic(err)
	}

	p, err := weir.Plan(context.Background(), count("numerals"))
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Verdict)
	for _, step := range p.Steps {
		for _, state := range step.States {
			if state.Fate == weir.StateDropped || state.Fate == weir.StateIncompatible {
				fmt.Printf("step %q, state %q: %s\n", step.Name, state.Name, state.Fate)
			}
		}
	}
	// Output:
	// would not start
	// step "digits", state "count": dropped
}
