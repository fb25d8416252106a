package heap

// The accesses of records that are measured: what each method does when the cursor is at no row. They are methods of their own, and not to be
// inlined, so that the ways of all other records stay as short as they are.

//go:noinline
func (v *ValueColumn[T]) measuredLoad() T {
	a := v.cur.visit(v.measured, getting)
	x := v.Load()
	a.done()
	if a.sized {
		a.value = sizeOf(&a, v.measured.column.codec, x, v.ttl)
	}
	a.end()
	return x
}

//go:noinline
func (v *ValueColumn[T]) measuredStore(x T) {
	a := v.cur.visit(v.measured, putting)
	v.Store(x)
	a.done()
	if a.sized {
		a.value = sizeOf(&a, v.measured.column.codec, x, v.ttl)
	}
	a.end()
}

//go:noinline
func (v *ValueColumn[T]) measuredClear() {
	a := v.cur.visit(v.measured, clearing)
	v.Clear()
	a.done()
	a.end()
}

//go:noinline
func (m *MapColumn[K, V]) measuredGet(k K) (V, bool) {
	a := m.cur.visit(m.measured, getting)
	v, ok := m.Get(k)
	a.done()
	if a.sized {
		a.key = sizeOf(&a, m.measured.column.user, k, nil)
		if ok {
			a.value = sizeOf(&a, m.measured.column.codec, v, m.ttl)
		}
	}
	a.end()
	return v, ok
}

//go:noinline
func (m *MapColumn[K, V]) measuredHas(k K) bool {
	a := m.cur.visit(m.measured, asking)
	ok := m.Has(k)
	a.done()
	a.end()
	return ok
}

//go:noinline
func (m *MapColumn[K, V]) measuredPut(k K, v V) {
	a := m.cur.visit(m.measured, putting)
	m.Put(k, v)
	a.done()
	if a.sized {
		a.key, a.value = sizeOf(&a, m.measured.column.user, k, nil), sizeOf(&a, m.measured.column.codec, v, m.ttl)
	}
	a.end()
}

//go:noinline
func (m *MapColumn[K, V]) measuredDelete(k K) {
	a := m.cur.visit(m.measured, removing)
	m.Delete(k)
	a.done()
	a.end()
}

//go:noinline
func (m *MapColumn[K, V]) measuredLen() int {
	a := m.cur.visit(m.measured, counting)
	n := m.Len()
	a.done()
	a.end()
	return n
}

//go:noinline
func (m *MapColumn[K, V]) measuredClear() {
	a := m.cur.visit(m.measured, clearing)
	m.Clear()
	a.done()
	a.end()
}

//go:noinline
func (m *MapColumn[K, V]) measuredEach(yield func(K, V) bool) {
	t := m.cur.tour(m.measured, looping)
	m.Each(func(k K, v V) bool {
		t.arrived(nil)
		more := yield(k, v)
		t.goesOn()
		return more
	})
	t.over()
}

//go:noinline
func (l *ListColumn[T]) measuredAppend(x T) {
	a := l.cur.visit(l.measured, putting)
	l.Append(x)
	a.done()
	if a.sized {
		a.value = sizeOf(&a, l.measured.column.codec, x, l.ttl)
	}
	a.end()
}

//go:noinline
func (l *ListColumn[T]) measuredLen() int {
	a := l.cur.visit(l.measured, counting)
	n := l.Len()
	a.end()
	return n
}

//go:noinline
func (l *ListColumn[T]) measuredClear() {
	a := l.cur.visit(l.measured, clearing)
	l.Clear()
	a.done()
	a.end()
}

//go:noinline
func (l *ListColumn[T]) measuredEach(yield func(T) bool) {
	t := l.cur.tour(l.measured, getting)
	l.Each(func(x T) bool {
		t.arrived(func() int { return sizeOf(&t.visit, l.measured.column.codec, x, l.ttl) })
		more := yield(x)
		t.goesOn()
		return more
	})
	t.over()
}

// measuredFire returns what fire is to be called through, so that the records of some timers are measured.
func (s *Store[K]) measuredFire(fire func(r Ref, key K, timer int, at int64) error) func(r Ref, key K, timer int, at int64) error {
	m := s.meter
	if m == nil {
		return fire
	}
	return func(r Ref, key K, timer int, at int64) error { return fire(m.fired(r), key, timer, at) }
}

// Timers are not measured.

//go:noinline
func (t *TimerColumn) veiledSet(at int64) {
	a := t.cur.visit(nil, putting)
	t.Set(at)
	a.end()
}

//go:noinline
func (t *TimerColumn) veiledClear() {
	a := t.cur.visit(nil, clearing)
	t.Clear()
	a.end()
}

// VeiledDeadline is Deadline if IsVeiled.
//
//go:noinline
func (t *TimerColumn) VeiledDeadline() (at int64, ok bool) {
	a := t.cur.visit(nil, getting)
	at, ok = t.Deadline()
	a.end()
	return at, ok
}

//go:noinline
func (t *TimersColumn) veiledSet(at int64) {
	a := t.deadlines.cur.visit(nil, putting)
	t.Set(at)
	a.end()
}
