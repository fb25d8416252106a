// Package memory reads from a slice and collects into one: for tests and examples.
//
//	out := memory.Collect[int]()
//	weir.To(weir.Map(weir.From(j, "in", memory.Slice([]int{1, 2, 3})), double), "out", out)
//	... run the job ...
//	out.Records() // 2 4 6, in some order
//
// Both live as long as the process. Within it they are exact: a job that is restarted, or run again with the same Collector from a
// checkpoint, reads and collects each record once.
package memory

import (
	"fmt"

	"github.com/weirstream/weir/connector/datagen"
)

// Slice reads records, which must not be changed afterwards. They have no event times.
func Slice[T any](records []T, opts ...datagen.Option) *datagen.Generator[T] {
	opts = append([]datagen.Option{datagen.Named("memory")}, opts...)
	return datagen.Source(int64(len(records)), func(i int64) T { return records[i] }, opts...)
}

// SliceAt reads records with event times, in milliseconds since 1970 UTC. There must be as many of the one as of the other.
func SliceAt[T any](records []T, times []int64, opts ...datagen.Option) *datagen.Generator[T] {
	if len(records) != len(times) {
		panic(fmt.Sprintf("memory: %d records with %d times", len(records), len(times)))
	}
	return Slice(records, append(opts, datagen.Times(func(i int64) int64 { return times[i] }))...)
}
