package heap

import (
	"math/rand/v2"
	"time"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/metrics"
)

// Measuring says what is measured of the accesses to a store's states. It is sampled by record: of one that is chosen, all accesses are measured.
type Measuring struct {
	// Latency and Sizes say of how many records one is chosen, on average, for the time of accesses and for the sizes of keys and values; 0
	// for none.
	Latency, Sizes int
	// LatencyOf and SizesOf return where measurements of a state go to that have a name such as valueStateGetLatency or valueStateGetKeySize.
	// They are called once for each name, when there is something to be measured.
	LatencyOf, SizesOf func(state, name string) *metrics.Histogram
}

// Measure begins to measure accesses. It is called once, after all is restored, and between batches.
func (s *Store[K]) Measure(what Measuring) {
	s.meter = newMeter(&s.core, what)
	for _, c := range s.layout.columns {
		if c.measured != nil {
			c.measured.column, c.measured.meter = c, s.meter
		}
	}
}

// meter measures the accesses of some records, and costs others nothing: the Ref of a record that is chosen is veiled, which means that it has
// no row. So the cursor is at none when the record's turn comes, and each access takes the way that ends in a panic outside of records. There
// the row is unveiled, the access measured, and the row veiled again.
//
// What a record costs before and after its accesses belongs to them too. Its part of the time in which the rows of its batch were found is
// added to its first access, and over a byte store its part of the time that the subtask has spent on writing back to its first change.
type meter struct {
	core         *core
	of           Measuring
	times, sizes sampler
	// veils are what veiled rows have for marks, by what is measured of them. They stay zero, which says that the row is shared.
	veils [timing | sizing + 1]uint64

	// The following are of the record that is measured.
	what    measure
	shared  bool          // it has not changed its row yet
	finding time.Duration // its part, until an access has it
	writing time.Duration // likewise
	pending measurement   // a read that may be the first half of adding

	found   time.Duration // for each record of the batch
	written time.Duration // for each record, up to the last seal
	sealed  uint32        // that seal
	records int           // since then
	spent   time.Duration // since then

	clock   time.Duration // what it takes to read it
	scratch []byte
}

// measure is what is measured of a record.
type measure uint8

const (
	timing measure = 1 << iota
	sizing
)

func newMeter(c *core, what Measuring) *meter {
	m := &meter{core: c, of: what, times: newSampler(what.Latency), sizes: newSampler(what.Sizes), clock: time.Hour}
	for range 32 {
		m.clock = min(m.clock, -(now() - now()))
	}
	return m
}

var began = time.Now()

// now returns a time of a clock that nothing but its going on is known of. It takes half of what time.Now does.
func now() time.Duration { return time.Since(began) }

// since returns what has passed, without what it takes to find out.
func (m *meter) since(at time.Duration) time.Duration { return max(0, now()-at-m.clock) }

// sampler chooses one of so many, on average: the distances are even or odd by chance, so that no rhythm of the records goes with them.
type sampler struct{ every, left int }

func newSampler(every int) sampler {
	s := sampler{every: every}
	if every > 0 {
		s.left = s.distance() - 1
	}
	return s
}

func (s *sampler) distance() int { return 1 + rand.IntN(2*s.every-1) }

// choose calls f for those of the next n that are chosen.
func (s *sampler) choose(n int, f func(i int)) {
	if s.every == 0 {
		return
	}
	for ; s.left < n; s.left += s.distance() {
		f(s.left)
	}
	s.left -= n
}

// begins returns the time if anything is measured.
func (m *meter) begins() time.Duration {
	if m == nil {
		return 0
	}
	return now()
}

// resolved chooses among the records of a batch, whose rows were found since a time.
func (m *meter) resolved(refs []Ref, at time.Duration) {
	if m == nil || len(refs) == 0 {
		return
	}
	m.found = m.since(at) / time.Duration(len(refs))
	m.records += len(refs)
	m.veil(refs)
}

func (m *meter) veil(refs []Ref) {
	veil := func(what measure) func(i int) {
		return func(i int) {
			r := &refs[i]
			*r = Ref{mark: &m.veils[what|m.veiled(r)], id: r.id, group: r.group}
		}
	}
	if m.of.Latency == m.of.Sizes { // of one record both cost less than one of two records each
		m.times.choose(len(refs), veil(timing|sizing))
		return
	}
	m.times.choose(len(refs), veil(timing))
	m.sizes.choose(len(refs), veil(sizing))
}

// veiled returns what is measured of a record, nothing if its row is not veiled.
func (m *meter) veiled(r *Ref) measure {
	for what := range m.veils {
		if r.mark == &m.veils[what] {
			return measure(what)
		}
	}
	return 0
}

// fired is resolved for the row of a timer, which nobody had to look for.
func (m *meter) fired(r Ref) Ref {
	refs := [1]Ref{r}
	m.found = 0
	m.veil(refs[:])
	return refs[0]
}

// batchEnded has a byte store write back, and measures that.
func (m *meter) batchEnded() {
	m.settle()
	b := m.core.backed
	if b == nil {
		return
	}
	at := now()
	b.batchEnded()
	m.spent += now() - at
	if b.now != m.sealed && m.records > 0 {
		m.written = m.spent / time.Duration(m.records)
		m.sealed, m.spent, m.records = b.now, 0, 0
	}
}

// unveil shows the row of a record that is measured. At no row it panics, as At does.
func (c *Cursor) unveil() *meter {
	m := c.core.meter
	if m == nil || c.ref.mark == nil {
		c.At()
	}
	if what := m.veiled(&c.ref); what != 0 { // its first access
		m.settle()
		m.what, m.shared, m.finding, m.writing = what, true, m.found, m.written
		c.ref = c.core.refOf(c.ref.group, c.ref.id)
	}
	c.Row = c.ref.row
	c.Shared = c.core.isShared(&c.ref) || c.core.backed != nil && m.shared
	return m
}

// veil hides the row again, until the next access.
func (c *Cursor) veil() {
	c.core.meter.shared = c.Shared
	c.Row, c.Shared = nil, true
}

// isShared reports whether a row must be made ready before it is changed, as Seek does.
func (s *core) isShared(r *Ref) bool {
	return uint32(*r.mark>>32) != s.clock.now || *r.mark>>(r.id&s.markMask)&1 == 0
}

// access is a kind of access.
type access uint8

const (
	getting access = iota
	putting
	removing
	asking   // whether something is there
	counting // what is there
	looping  // until the first entry is there
	stepping // from one entry to the next
	clearing
	accesses
)

// The names of accesses are those that they have in Flink; none if it does not measure them.
var (
	valueAccesses       = [accesses]string{getting: "valueStateGet", putting: "valueStateUpdate", clearing: "stateClear"}
	reducingAccesses    = [accesses]string{getting: "reducingStateGet", putting: "reducingStateAdd", clearing: "stateClear"}
	aggregatingAccesses = [accesses]string{getting: "aggregatingStateGet", putting: "aggregatingStateAdd", clearing: "stateClear"}
	listAccesses        = [accesses]string{getting: "listStateGet", putting: "listStateAdd", clearing: "stateClear"}
	mapAccesses         = [accesses]string{
		getting: "mapStateGet", putting: "mapStatePut", removing: "mapStateRemove", asking: "mapStateContains", counting: "mapStateIsEmpty",
		looping: "mapStateIteratorInit", stepping: "mapStateIteratorNext", clearing: "stateClear",
	}
)

// measured is where the measurements of one state go. Of timers, whose accesses are not measured, it is nil.
type measured struct {
	column *column
	meter  *meter
	names  *[accesses]string
	adds   bool // it is changed by reading and writing

	times, keys, values [accesses]*metrics.Histogram
}

// measurement is what is known of an access.
type measurement struct {
	of         *measured
	kind       access
	timed      bool
	sized      bool
	time       time.Duration
	key, value int // bytes
}

// settle tells of a read that was no half of anything.
func (m *meter) settle() {
	if p := m.pending; p.of != nil {
		m.pending = measurement{}
		p.tell()
	}
}

// take takes a measurement. Where adding is reading and writing it waits for the second half.
func (m *meter) take(x measurement) {
	if x.of == nil {
		return
	}
	if p := m.pending; p.of == x.of && x.kind == putting {
		x.time += p.time
		m.pending = measurement{}
	}
	m.settle()
	if x.of.adds && x.kind == getting {
		m.pending = x
		return
	}
	x.tell()
}

func (x *measurement) tell() {
	o, k := x.of, x.kind
	if x.timed {
		o.update(&o.times[k], o.meter.of.LatencyOf, k, "Latency", int64(x.time))
	}
	if x.sized {
		o.update(&o.keys[k], o.meter.of.SizesOf, k, "KeySize", int64(x.key))
		o.update(&o.values[k], o.meter.of.SizesOf, k, "ValueSize", int64(x.value))
	}
}

func (o *measured) update(h **metrics.Histogram, of func(state, name string) *metrics.Histogram, k access, what string, n int64) {
	if *h == nil {
		*h = of(o.column.name, o.names[k]+what)
	}
	(*h).Update(n)
}

// visit is an access to a veiled row: the row is there until its end.
type visit struct {
	measurement
	cur *Cursor
	m   *meter
	at  time.Duration
}

// visit begins an access. At no row it panics.
func (c *Cursor) visit(of *measured, kind access) visit {
	v := visit{cur: c, m: c.unveil(), measurement: measurement{of: of, kind: kind}}
	if of == nil || of.names[kind] == "" {
		v.of = nil
		return v
	}
	v.timed = v.m.what&timing != 0
	v.sized = v.m.what&sizing != 0 && (kind == getting || kind == putting)
	if v.timed {
		v.charge()
		v.at = now()
	}
	return v
}

// charge adds what the access has to bear of the record's time outside of accesses.
func (v *visit) charge() {
	v.time, v.m.finding = v.m.finding, 0
	if v.kind != getting && v.kind != asking && v.kind != counting && v.kind != looping {
		v.time, v.m.writing = v.time+v.m.writing, 0
	}
}

// done says that the access has been made. Sizes are found after it.
func (v *visit) done() {
	if v.timed {
		v.time += v.m.since(v.at)
	}
}

// end ends the access and veils the row.
func (v *visit) end() {
	if v.sized {
		v.key += v.m.keySize(v.cur.Row)
	}
	v.cur.veil()
	v.m.take(v.measurement)
}

// keySize returns the number of bytes of the key of a row, as it is written.
func (m *meter) keySize(row unsafe.Pointer) int {
	l := m.core.layout
	if l.keyCodec.Memory() {
		return int(l.key.Size())
	}
	m.scratch = l.keyCodec.Append(m.scratch[:0], row)
	return len(m.scratch)
}

// sizeOf returns the number of bytes of something, with its stamp if there is one, as it is written.
func sizeOf[T any](v *visit, c *codec.Compiled, x T, ttl *expiry) (n int) {
	if c.Memory() {
		n = int(unsafe.Sizeof(x))
	} else {
		kept := x // so that only here x moves to the heap
		v.m.scratch = c.Append(v.m.scratch[:0], unsafe.Pointer(&kept))
		n = len(v.m.scratch)
	}
	if cap(v.m.scratch) > mostScratch {
		v.m.scratch = nil
	}
	if ttl != nil {
		n += stampBytes
	}
	return n
}

// tour is an access that goes through many entries, between which the row is veiled for the body of the loop. Of the first entries each is
// measured, of the others some.
type tour struct {
	visit
	n     int           // entries so far
	first time.Duration // until the first one
	rest  estimate
	bytes estimate
}

func (c *Cursor) tour(of *measured, kind access) *tour { return &tour{visit: c.visit(of, kind)} }

// arrived says that the next entry is there, and calls size for its bytes if they are wanted.
func (t *tour) arrived(size func() int) {
	switch {
	case t.timed && t.n == 0:
		t.first = t.m.since(t.at)
	case t.timed && isSampled(t.n):
		t.rest.add(t.n, int64(t.m.since(t.at)))
	}
	if t.sized && isSampled(t.n) {
		t.bytes.add(t.n, int64(size()))
	}
	t.n++
	t.cur.veil()
}

// goesOn says that the body of the loop is done.
func (t *tour) goesOn() {
	t.cur.unveil()
	if t.timed && isSampled(t.n) {
		t.at = now()
	}
}

// over ends the access. The time of a list is that of all its entries.
func (t *tour) over() {
	if t.n == 0 {
		t.done()
	}
	steps := time.Duration(t.rest.total(t.n))
	t.time += t.first
	t.value = int(t.bytes.total(t.n))
	if t.kind == getting {
		t.time += steps
	}
	t.end()
	if t.kind == looping && t.timed && t.n > 1 {
		t.m.take(measurement{of: t.of, kind: stepping, timed: true, time: steps / time.Duration(t.n-1)})
	}
}

// allOf is the number of entries of which each is measured, and of how many others one is. It is no power of two, as the numbers of entries that
// lie together are.
const allOf = 13

func isSampled(i int) bool { return i < allOf || i%allOf == 0 }

// estimate is a sum of which some parts are known.
type estimate struct{ known, sampled, samples int64 }

func (e *estimate) add(i int, x int64) {
	if i < allOf {
		e.known += x
		return
	}
	e.sampled += x
	e.samples++
}

// total returns the sum of n parts.
func (e *estimate) total(n int) int64 {
	if e.samples == 0 {
		return e.known
	}
	return e.known + e.sampled*int64(n-allOf)/e.samples
}
