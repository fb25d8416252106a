package weir_test

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/memory"
)

// Numbers are halved until nothing is left, and come out with the number of times it took.
func ExampleIterate() {
	type number struct{ N, Rest, Times int }
	j := weir.NewJob("halves")
	in := weir.Map(weir.From(j, "numbers", memory.Slice([]int{1, 10, 1000})), func(n int) number { return number{N: n, Rest: n} })
	out := weir.Iterate(in, "halve", func(loop weir.Stream[number]) (again, out weir.Stream[number]) {
		halved := weir.Map(loop, func(n number) number { return number{n.N, n.Rest / 2, n.Times + 1} })
		return weir.Filter(halved, func(n number) bool { return n.Rest > 0 }), weir.Filter(halved, func(n number) bool { return n.Rest == 0 })
	})
	lines := memory.Collect[string]()
	weir.To(weir.Map(out, func(n number) string { return fmt.Sprintf("%d: %d times", n.N, n.Times) }), "lines", lines)
	if _, err := weir.Run(context.Background(), j); err != nil {
		fmt.Println(err)
	}
	for _, l := range slices.Sorted(slices.Values(lines.Records())) {
		fmt.Println(l)
	}
	// Output:
	// 1000: 10 times
	// 10: 4 times
	// 1: 1 times
}

// Square roots by Newton's method: those that are good enough after five laps, and those that are not.
func ExampleIterateUpTo() {
	type guess struct{ Of, Root float64 }
	j := weir.NewJob("roots")
	in := weir.Map(weir.From(j, "numbers", memory.Slice([]float64{2, 9, 1e9})), func(n float64) guess { return guess{n, n} })
	good, rest := weir.IterateUpTo(in, "newton", 5, func(loop weir.Stream[weir.Lap[guess]]) (again weir.Stream[weir.Lap[guess]], out weir.Stream[guess]) {
		better := weir.Map(loop, func(l weir.Lap[guess]) weir.Lap[guess] {
			g := l.Value
			return l.With(guess{g.Of, (g.Root + g.Of/g.Root) / 2})
		})
		good := func(l weir.Lap[guess]) bool { return math.Abs(l.Value.Root*l.Value.Root-l.Value.Of) < 0.0001 }
		return weir.Filter(better, func(l weir.Lap[guess]) bool { return !good(l) }),
			weir.Map(weir.Filter(better, good), func(l weir.Lap[guess]) guess { return l.Value })
	})
	lines := memory.Collect[string]()
	weir.To(weir.Union(
		weir.Map(good, func(g guess) string { return fmt.Sprintf("%g has the root %.2f", g.Of, g.Root) }),
		weir.Map(rest, func(g guess) string { return fmt.Sprintf("%g has no root after 5 laps", g.Of) }),
	), "lines", lines)
	if _, err := weir.Run(context.Background(), j); err != nil {
		fmt.Println(err)
	}
	for _, l := range slices.Sorted(slices.Values(lines.Records())) {
		fmt.Println(l)
	}
	// Output:
	// 1e+09 has no root after 5 laps
	// 2 has the root 1.41
	// 9 has the root 3.00
}
