package weir

import (
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// stateNameLabel is what Flink calls the label with the name of a state.
const stateNameLabel = "state_name"

// measure has the accesses to a table measured, if they are to be.
func measure(env *operator.Env, table interface{ Measure(heap.Measuring) }) {
	t := env.Tracking
	if t.Latency.Interval == 0 && t.Sizes.Interval == 0 {
		return
	}
	table.Measure(heap.Measuring{
		Latency: t.Latency.Interval, LatencyOf: histograms(env.Metrics, t.Latency),
		Sizes: t.Sizes.Interval, SizesOf: histograms(env.Metrics, t.Sizes),
	})
}

// histograms returns a function that finds the histogram of a state among the metrics of a step.
func histograms(scope *metrics.Scope, s operator.Sampling) func(state, name string) *metrics.Histogram {
	return func(state, name string) *metrics.Histogram {
		in := metrics.HistogramName{Label: stateNameLabel, Group: state, Name: name}
		if !s.Labelled {
			in.Label = ""
		}
		return scope.Histogram(in, s.History)
	}
}
