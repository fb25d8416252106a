package weir

import (
	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/metrics"
)

// stateSizes tells as metrics of a step what its keyed state takes in memory. It counts nothing by itself: it looks at the tables when the state
// is open, now and then, and when a checkpoint is complete.
type stateSizes struct {
	sizes func(*heap.Sizes) *heap.Sizes
	under backend.Measured // nil if there is none, or it does not tell
	scope *metrics.Scope
	last  heap.Sizes
	every int // batches, so many that looking at all key groups costs each next to nothing
	left  int // of them

	keys, bytes, cached *metrics.Gauge
	states              []stateGauges
}

type stateGauges struct{ entries, bytes *metrics.Gauge }

const leastBetweenSizes = 64

// over says that there is a byte store under the tables.
func (m *stateSizes) over(under backend.Store, scope *metrics.Scope) {
	m.cached = scope.Gauge("State.cacheBytes")
	m.under, _ = under.(backend.Measured)
}

// begin tells of a store that was just opened, and over before.
func (m *stateSizes) begin(scope *metrics.Scope, groups int, sizes func(*heap.Sizes) *heap.Sizes) {
	m.scope, m.sizes, m.every = scope, sizes, max(leastBetweenSizes, groups)
	m.keys, m.bytes = scope.Gauge("State.numKeys"), scope.Gauge("State.sizeBytes")
	for _, s := range m.sizes(&m.last).States {
		g := stateGauges{bytes: scope.Gauge("State." + s.Name + ".sizeBytes")}
		if s.Entries >= 0 {
			g.entries = scope.Gauge("State." + s.Name + ".numEntries")
		}
		m.states = append(m.states, g)
	}
	m.tell()
	m.tellUnder()
}

// batchEnded tells if it is time to.
func (m *stateSizes) batchEnded() {
	if m.left--; m.left < 0 {
		m.tell()
	}
}

func (m *stateSizes) tell() {
	m.left = m.every
	m.set(m.sizes(&m.last))
}

func (m *stateSizes) set(s *heap.Sizes) {
	m.keys.Set(int64(s.Keys))
	m.bytes.Set(s.Bytes)
	if m.cached != nil {
		m.cached.Set(s.Cached)
	}
	for i, g := range m.states {
		g.bytes.Set(s.States[i].Bytes)
		if g.entries != nil {
			g.entries.Set(int64(s.States[i].Entries))
		}
	}
}

// tellUnder tells what the byte store says of itself.
func (m *stateSizes) tellUnder() {
	if m.under == nil {
		return
	}
	for name, n := range m.under.Metrics() {
		m.scope.Gauge(name).Set(n)
	}
}

// completed tells when a checkpoint is complete.
func (m *stateSizes) completed() {
	m.tell()
	m.tellUnder()
}

// end tells that nothing is left.
func (m *stateSizes) end() {
	if m.sizes == nil {
		return // it was not opened
	}
	for i := range m.last.States {
		s := &m.last.States[i]
		s.Bytes, s.Entries = 0, 0
	}
	m.set(&heap.Sizes{States: m.last.States})
}
