// Package statetest is the suite that every implementation of backend.Factory has to pass.
//
//	func TestMyBackend(t *testing.T) {
//		statetest.Run(t, func(t *testing.T) backend.Factory { return newMyFactory(t) })
//	}
//
// Run it with the race detector too: one test reads while another goroutine writes. It cannot show that a job which uses the backend is fast, nor
// that a full disk leads to a clear error.
package statetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/weirstream/weir/backend"
)

// groups is the number of key groups in the tests; all is their range.
const groups = 16

var all = backend.Groups{First: 0, Last: groups - 1}

// Run runs the suite. Each test calls open for a factory of its own, which the suite closes.
func Run(t *testing.T, open func(t *testing.T) backend.Factory) {
	tests := []struct {
		name string
		run  func(t *testing.T, f backend.Factory)
	}{
		{"an empty store has nothing", empty},
		{"what was put is found", put},
		{"the later change counts", laterCounts},
		{"a range is deleted up to its end", deleteRange},
		{"a scan is in order and ends in time", scanBounds},
		{"keys are looked up and changed in the course of a scan", withinScan},
		{"an error of the callback comes back", callbackError},
		{"random changes", random},
		{"reads beside writes", beside},
		{"stores are apart", apart},
		{"a snapshot shows its moment", moment},
		{"a snapshot of nothing", emptySnapshot},
		{"a snapshot outlives changes and its store", outlives},
		{"a store is restored and goes on", goesOn},
		{"groups are split among stores", split},
		{"parts are put together", join},
		{"parts are cut and put together", regroup},
		{"lasting files keep their content", lasting},
		{"a missing file is an error", missing},
		{"a file cut short is not believed", short},
		{"a cancelled restore ends", cancelled},
		{"closing twice", closeTwice},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := open(t)
			test.run(t, f)
			check(t, "close the factory", f.Close())
		})
	}
}

// model is what a store should hold.
type model map[string]string

// key returns a key of a group.
func key(group int, rest string) string { return string(backend.GroupKey(group)) + rest }

func openStore(t *testing.T, f backend.Factory, g backend.Groups, parts ...backend.Part) backend.Store {
	t.Helper()
	s, err := f.Open(t.Context(), env(g, parts))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

func env(g backend.Groups, parts []backend.Part) backend.Env {
	return backend.Env{
		Step: "step", Subtask: g.First * 2 / groups, Parallelism: groups / (g.Last - g.First + 1), Groups: g, Restored: parts,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func check(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// apply makes the changes in a store and in its model.
func apply(t *testing.T, s backend.Store, m model, b *backend.Batch) {
	t.Helper()
	check(t, "apply", s.Apply(b))
	for o := range b.All() {
		switch o.Kind {
		case backend.Put:
			m[string(o.Key)] = string(o.Value)
		case backend.Delete:
			delete(m, string(o.Key))
		case backend.DeleteRange:
			maps.DeleteFunc(m, func(k, _ string) bool { return k >= string(o.Key) && k < string(o.End) })
		}
	}
}

// fill puts n keys into each of some groups.
func fill(t *testing.T, s backend.Store, g backend.Groups, n int, mark string) model {
	t.Helper()
	m := model{}
	for group := g.First; group <= g.Last; group++ {
		var b backend.Batch
		for i := range n {
			b.Put([]byte(key(group, fmt.Sprintf("key-%05d", i))), fmt.Appendf(nil, "%s %d of %d", mark, i, group))
		}
		apply(t, s, m, &b)
	}
	return m
}

// want compares all that a store has, by Scan and by Get.
func want(t *testing.T, s backend.Store, m model) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(m))
	from, to := all.Keys()
	wantScan(t, s, string(from), string(to), m)
	asked := make([][]byte, 0, 2*len(keys))
	for _, k := range keys {
		asked = append(asked, []byte(k), append([]byte(k), 0)) // the second is not there, unless by chance
	}
	slices.SortFunc(asked, bytes.Compare)
	wantGet(t, s, slices.CompactFunc(asked, bytes.Equal), m)
}

func wantGet(t *testing.T, s backend.Store, keys [][]byte, m model) {
	t.Helper()
	got := model{}
	check(t, "get", s.Get(keys, func(i int, v []byte) error {
		if _, twice := got[string(keys[i])]; twice {
			return fmt.Errorf("key %q was found twice", keys[i])
		}
		got[string(keys[i])] = string(v)
		return nil
	}))
	for _, k := range keys {
		v, ok := got[string(k)]
		if should, shouldBe := m[string(k)]; ok != shouldBe || v != should {
			t.Fatalf("get %q: %q, %v; want %q, %v", k, v, ok, should, shouldBe)
		}
	}
}

func wantScan(t *testing.T, s backend.Store, from, to string, m model) {
	t.Helper()
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= from && k < to {
			keys = append(keys, k)
		}
	}
	it, err := s.Scan([]byte(from), []byte(to))
	check(t, "scan", err)
	n := 0
	for ; it.Next(); n++ {
		if n >= len(keys) {
			t.Fatalf("scan from %q to %q: %q is one too many", from, to, it.Key())
		}
		if string(it.Key()) != keys[n] || string(it.Value()) != m[keys[n]] {
			t.Fatalf("scan from %q to %q: entry %d is %q: %q; want %q: %q", from, to, n, it.Key(), it.Value(), keys[n], m[keys[n]])
		}
	}
	check(t, "scan", it.Err())
	check(t, "close the iterator", it.Close())
	if n < len(keys) {
		t.Fatalf("scan from %q to %q: %d entries, want %d", from, to, n, len(keys))
	}
}

func empty(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	want(t, s, model{})
	wantGet(t, s, nil, nil)
	wantGet(t, s, [][]byte{[]byte(key(3, "x"))}, nil)
	check(t, "apply nothing", s.Apply(&backend.Batch{}))
	check(t, "close", s.Close())
}

func put(t *testing.T, f backend.Factory) {
	s, m := openStore(t, f, all), model{}
	var b backend.Batch
	long := string(bytes.Repeat([]byte("long"), 10_000))
	for _, k := range []string{key(0, ""), key(0, "\x00"), key(3, "a"), key(3, "a\x00"), key(3, "ab"), key(7, "\xff\xff"), key(15, long)} {
		b.Put([]byte(k), []byte("value of "+k))
	}
	b.Put([]byte(key(4, "empty")), nil)
	b.Put([]byte(key(4, "large")), bytes.Repeat([]byte("large"), 100_000))
	apply(t, s, m, &b)
	want(t, s, m)
	check(t, "close", s.Close())
}

func laterCounts(t *testing.T, f backend.Factory) {
	s, m := openStore(t, f, all), model{}
	k := []byte(key(2, "k"))
	var b backend.Batch
	b.Put(k, []byte("1"))
	b.Put(k, []byte("2"))
	apply(t, s, m, &b)
	want(t, s, m)
	b.Reset()
	b.Delete(k)
	b.Put(k, []byte("3"))
	b.Put([]byte(key(2, "l")), []byte("3"))
	b.Delete([]byte(key(2, "l")))
	b.Delete([]byte(key(2, "never there")))
	apply(t, s, m, &b)
	want(t, s, m)
	b.Reset()
	b.DeleteRange(backend.GroupKey(2), backend.GroupKey(3))
	b.Put(k, []byte("4"))
	apply(t, s, m, &b)
	want(t, s, model{string(k): "4"})
	check(t, "close", s.Close())
}

func deleteRange(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	m := fill(t, s, all, 20, "v")
	var b backend.Batch
	b.DeleteRange([]byte(key(3, "key-00005")), []byte(key(3, "key-00007")))
	b.DeleteRange([]byte(key(4, "key-00018")), []byte(key(6, "key-00001")))
	b.DeleteRange([]byte(key(7, "key-00003x")), []byte(key(7, "key-00003y"))) // there is nothing in it
	apply(t, s, m, &b)
	if len(m) != groups*20-2-2-20-1 {
		t.Fatalf("the model has %d keys", len(m))
	}
	want(t, s, m)
	check(t, "close", s.Close())
}

func scanBounds(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	m := fill(t, s, all, 10, "v")
	for _, c := range [][2]string{
		{key(0, ""), key(groups, "")}, {key(2, ""), key(3, "")}, {key(2, "key-00003"), key(2, "key-00003")},
		{key(2, "key-00003"), key(2, "key-00003\x00")}, {key(2, "key-00003a"), key(5, "key-00003a")}, {key(9, "z"), key(10, "")},
	} {
		wantScan(t, s, c[0], c[1], m)
	}
	a, err := s.Scan(all.Keys())
	check(t, "scan", err)
	b, err := s.Scan(all.Keys())
	check(t, "scan", err)
	for range len(m) { // two at once, with reads in between
		if !a.Next() || !b.Next() || !bytes.Equal(a.Key(), b.Key()) {
			t.Fatalf("two scans differ: %q and %q", a.Key(), b.Key())
		}
		wantGet(t, s, [][]byte{slices.Clone(a.Key())}, m)
	}
	check(t, "close the iterator", errors.Join(a.Close(), b.Close()))
	check(t, "close", s.Close())
}

// withinScan does what the engine does with the entries of a large map: it goes through a range piece by piece, and reads and changes entries meanwhile.
func withinScan(t *testing.T, f backend.Factory) {
	s, m := openStore(t, f, all), model{}
	maps.Copy(m, fill(t, s, all, 100, "v"))
	from, to := backend.Groups{First: 3, Last: 5}.Keys()
	before := maps.Clone(m)
	seen := 0
	for more := true; more; {
		it, err := s.Scan(from, to)
		check(t, "scan", err)
		var b backend.Batch
		more = false
		for n := 0; n < 7 && it.Next(); n++ {
			k, found := bytes.Clone(it.Key()), false
			check(t, "look up", s.Get([][]byte{k}, func(_ int, v []byte) error {
				found = string(v) == before[string(k)]
				return nil
			}))
			if !found || string(it.Value()) != before[string(k)] {
				t.Fatalf("key %q is not what it was", k)
			}
			if seen++; seen%2 == 0 {
				b.Delete(k)
			} else {
				b.Put(k, []byte("changed"))
			}
			from, more = append(k, 0), true
		}
		apply(t, s, m, &b) // the iteration is open, and shows nothing of it
		check(t, "end of a scan", errors.Join(it.Err(), it.Close()))
	}
	if seen != 300 {
		t.Errorf("%d keys were seen, want 300", seen)
	}
	want(t, s, m)
	check(t, "close", s.Close())
}

func callbackError(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	fill(t, s, all, 2, "v")
	mine := errors.New("enough")
	err := s.Get([][]byte{[]byte(key(1, "key-00000")), []byte(key(1, "key-00001"))}, func(int, []byte) error { return mine })
	if !errors.Is(err, mine) {
		t.Errorf("get returned %v", err)
	}
	check(t, "close", s.Close())
}

// randomBatch makes changes among few keys, so that they meet.
func randomBatch(r *rand.Rand, g backend.Groups, n int) *backend.Batch {
	some := func() []byte {
		return []byte(key(g.First+r.IntN(g.Last-g.First+1), fmt.Sprintf("%03d", r.IntN(300))))
	}
	b := &backend.Batch{}
	for range n {
		switch r.IntN(20) {
		case 0:
			from, to := some(), some()
			if bytes.Compare(from, to) > 0 {
				from, to = to, from
			}
			to = slices.Concat(from[:2], to[2:]) // within a group, so that something remains
			if bytes.Compare(from, to) < 0 {
				b.DeleteRange(from, to)
			}
		case 1, 2, 3, 4:
			b.Delete(some())
		case 5:
			b.PutString(some(), string(bytes.Repeat([]byte(fmt.Sprint(r.IntN(1000))), r.IntN(2000))))
		default:
			b.Put(some(), binary.AppendUvarint(nil, r.Uint64()))
		}
	}
	return b
}

func random(t *testing.T, f backend.Factory) {
	r := rand.New(rand.NewPCG(1, 2))
	s, m := openStore(t, f, all), model{}
	for round := range 60 {
		apply(t, s, m, randomBatch(r, all, 1+r.IntN(200)))
		if round%10 == 9 {
			want(t, s, m)
		}
		if round%20 == 19 { // what was there before a snapshot may lie elsewhere after it
			check(t, "close the snapshot", take(t, s).Close())
		}
	}
	want(t, s, m)
	check(t, "close", s.Close())
}

// beside shows that reads of what does not change are not disturbed by writes, snapshots included.
func beside(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	m := fill(t, s, backend.Groups{First: 0, Last: 7}, 200, "fixed")
	var keys [][]byte
	for _, k := range slices.Sorted(maps.Keys(m)) {
		keys = append(keys, []byte(k))
	}
	early, err := s.Scan(all.Keys()) // shows nothing of what follows
	check(t, "scan", err)
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		r := rand.New(rand.NewPCG(3, 4))
		for i := range 50 {
			if failed = s.Apply(randomBatch(r, backend.Groups{First: 8, Last: 15}, 200)); failed != nil {
				return
			}
			if i%20 == 10 {
				snap, err := s.Snapshot(t.Context())
				if err != nil {
					failed = err
					return
				}
				failed = errors.Join(failed, snap.Close())
			}
		}
	})
	for range 10 {
		wantGet(t, s, keys, m)
		wantScan(t, s, key(0, ""), key(8, ""), m)
		it, err := s.Scan(all.Keys()) // with what changes meanwhile
		check(t, "scan", err)
		var last []byte
		for it.Next() {
			if last != nil && bytes.Compare(last, it.Key()) >= 0 {
				t.Fatalf("scan: %q follows %q", it.Key(), last)
			}
			last = append(last[:0], it.Key()...)
		}
		check(t, "scan", errors.Join(it.Err(), it.Close()))
	}
	wg.Wait()
	check(t, "write beside", failed)
	n := 0
	for ; early.Next(); n++ {
		if m[string(early.Key())] != string(early.Value()) {
			t.Fatalf("a scan from before shows %q: %q", early.Key(), early.Value())
		}
	}
	check(t, "scan", errors.Join(early.Err(), early.Close()))
	if n != len(m) {
		t.Errorf("a scan from before shows %d keys of %d", n, len(m))
	}
	check(t, "close", s.Close())
}

func apart(t *testing.T, f backend.Factory) {
	first, second := backend.Groups{First: 0, Last: 7}, backend.Groups{First: 8, Last: 15}
	a, b := openStore(t, f, first), openStore(t, f, second)
	m, n := fill(t, a, first, 10, "a"), fill(t, b, second, 10, "b")
	want(t, a, m)
	want(t, b, n)
	check(t, "close", a.Close())
	want(t, b, n)
	again := openStore(t, f, first) // another attempt
	want(t, again, model{})
	check(t, "close", errors.Join(b.Close(), again.Close()))
}

func take(t *testing.T, s backend.Store) backend.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	check(t, "snapshot", err)
	return snap
}

// stored is a snapshot as the engine has written it.
type stored struct {
	meta  []byte
	names []string
	files map[string][]byte
}

// save does what the engine does with a snapshot.
func save(t *testing.T, snap backend.Snapshot) stored {
	t.Helper()
	to := stored{slices.Clone(snap.Meta()), nil, map[string][]byte{}}
	for _, file := range snap.Files() {
		r, err := snap.Open(file.Name)
		check(t, "open "+file.Name, err)
		data, err := io.ReadAll(r)
		check(t, "read "+file.Name, errors.Join(err, r.Close()))
		if int64(len(data)) != file.Size {
			t.Errorf("file %s has %d bytes, and should have %d", file.Name, len(data), file.Size)
		}
		if _, twice := to.files[file.Name]; twice {
			t.Errorf("two files are named %s", file.Name)
		}
		to.names = append(to.names, file.Name)
		to.files[file.Name] = data
	}
	return to
}

// saved takes a snapshot and saves it.
func saved(t *testing.T, s backend.Store) stored {
	t.Helper()
	snap := take(t, s)
	x := save(t, snap)
	check(t, "close the snapshot", snap.Close())
	return x
}

// part hands a snapshot of some groups back, of which some are wanted.
func (x stored) part(wanted, written backend.Groups) backend.Part {
	p := backend.Part{Groups: wanted, Written: written, Meta: x.meta}
	for _, name := range x.names {
		data := x.files[name]
		p.Files = append(p.Files, backend.StoredFile{Name: name, Size: int64(len(data)), Open: func(ctx context.Context) (backend.FileReader, error) {
			if data == nil {
				return nil, fmt.Errorf("file %s is gone", name)
			}
			return reader{bytes.NewReader(data)}, ctx.Err()
		}})
	}
	return p
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

// of returns what a model has of some groups.
func (m model) of(g backend.Groups) model {
	from, to := g.Keys()
	n := maps.Clone(m)
	maps.DeleteFunc(n, func(k, _ string) bool { return k < string(from) || k >= string(to) })
	return n
}

func moment(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	m := fill(t, s, all, 50, "before")
	snap := take(t, s)
	before := maps.Clone(m)
	r := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		apply(t, s, m, randomBatch(r, all, 200))
	}
	maps.Copy(m, fill(t, s, backend.Groups{First: 2, Last: 5}, 60, "after"))
	x := save(t, snap)
	check(t, "close the snapshot", snap.Close())
	want(t, s, m)
	again := openStore(t, f, all, x.part(all, all))
	want(t, again, before)
	check(t, "close", errors.Join(s.Close(), again.Close()))
}

func emptySnapshot(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	x := saved(t, s)
	check(t, "close", s.Close())
	s = openStore(t, f, all, x.part(all, all))
	want(t, s, model{})
	m := fill(t, s, all, 5, "v")
	want(t, s, m)
	check(t, "close", s.Close())
}

func outlives(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	m := fill(t, s, all, 50, "first")
	first := take(t, s)
	before := maps.Clone(m)
	maps.Copy(m, fill(t, s, all, 80, "second"))
	second := take(t, s)
	check(t, "close", s.Close())
	x, y := save(t, first), save(t, second)
	check(t, "close the snapshots", errors.Join(first.Close(), second.Close(), first.Close()))
	a, b := openStore(t, f, all, x.part(all, all)), openStore(t, f, all, y.part(all, all))
	want(t, a, before)
	want(t, b, m)
	check(t, "close", errors.Join(a.Close(), b.Close()))
}

func goesOn(t *testing.T, f backend.Factory) {
	r := rand.New(rand.NewPCG(7, 8))
	s, m := openStore(t, f, all), model{}
	for range 6 { // each life begins with what the one before has left
		for range 5 {
			apply(t, s, m, randomBatch(r, all, 100))
		}
		x := saved(t, s)
		for range 3 { // what a failure undoes
			check(t, "apply", s.Apply(randomBatch(r, all, 100)))
		}
		check(t, "close", s.Close())
		s = openStore(t, f, all, x.part(all, all))
		want(t, s, m)
	}
	check(t, "close", s.Close())
}

func split(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	m := fill(t, s, all, 100, "v")
	x := saved(t, s)
	check(t, "close", s.Close())
	for first := 0; first < groups; first += 4 {
		g := backend.Groups{First: first, Last: first + 3}
		s := openStore(t, f, g, x.part(g, all))
		want(t, s, m.of(g))
		more := fill(t, s, g, 3, "more")
		n := m.of(g)
		maps.Copy(n, more)
		y := saved(t, s)
		check(t, "close", s.Close())
		s = openStore(t, f, g, y.part(g, g))
		want(t, s, n)
		check(t, "close", s.Close())
	}
}

func join(t *testing.T, f backend.Factory) {
	var parts []backend.Part
	m := model{}
	for first := 0; first < groups; first += 4 {
		g := backend.Groups{First: first, Last: first + 3}
		s := openStore(t, f, g)
		maps.Copy(m, fill(t, s, g, 10*first, "v")) // the first one is empty
		parts = append(parts, saved(t, s).part(g, g))
		check(t, "close", s.Close())
	}
	s := openStore(t, f, all, parts...)
	want(t, s, m)
	apply(t, s, m, randomBatch(rand.New(rand.NewPCG(9, 10)), all, 500))
	want(t, s, m)
	x := saved(t, s)
	check(t, "close", s.Close())
	s = openStore(t, f, all, x.part(all, all))
	want(t, s, m)
	check(t, "close", s.Close())
}

// regroup goes from two stores to three, whose borders lie elsewhere, and back, with changes in between.
func regroup(t *testing.T, f backend.Factory) {
	two := []backend.Groups{{First: 0, Last: 7}, {First: 8, Last: 15}}
	three := []backend.Groups{{First: 0, Last: 5}, {First: 6, Last: 10}, {First: 11, Last: 15}}
	r := rand.New(rand.NewPCG(11, 12))
	var had []stored
	var ranges []backend.Groups
	m := model{}
	for _, now := range [][]backend.Groups{two, three, two} {
		var have []stored
		for _, g := range now {
			var parts []backend.Part
			for i, old := range ranges {
				if cut := (backend.Groups{First: max(g.First, old.First), Last: min(g.Last, old.Last)}); cut.First <= cut.Last {
					parts = append(parts, had[i].part(cut, old))
				}
			}
			s := openStore(t, f, g, parts...)
			n := m.of(g)
			want(t, s, n)
			apply(t, s, n, randomBatch(r, g, 600))
			want(t, s, n)
			maps.DeleteFunc(m, func(k, _ string) bool { _, ok := m.of(g)[k]; return ok })
			maps.Copy(m, n)
			have = append(have, saved(t, s))
			check(t, "close", s.Close())
		}
		had, ranges = have, now
	}
}

func lasting(t *testing.T, f backend.Factory) {
	r := rand.New(rand.NewPCG(13, 14))
	s, m := openStore(t, f, all), model{}
	known := map[string][]byte{}
	see := func(s backend.Store) stored {
		snap := take(t, s)
		x := save(t, snap)
		for _, file := range snap.Files() {
			if !file.Lasting {
				continue
			}
			if before, ok := known[file.Name]; ok && !bytes.Equal(before, x.files[file.Name]) {
				t.Errorf("the lasting file %s has changed", file.Name)
			}
			known[file.Name] = x.files[file.Name]
		}
		check(t, "close the snapshot", snap.Close())
		return x
	}
	for range 5 {
		apply(t, s, m, randomBatch(r, all, 300))
		see(s)
	}
	x := see(s)
	known = maps.Clone(x.files) // what comes after is undone, and its names may be used again
	apply(t, s, maps.Clone(m), randomBatch(r, all, 300))
	check(t, "close", take(t, s).Close())
	check(t, "close", s.Close())
	s = openStore(t, f, all, x.part(all, all))
	for range 5 {
		apply(t, s, m, randomBatch(r, all, 300))
		see(s)
	}
	want(t, s, m)
	check(t, "close", s.Close())
}

func missing(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	fill(t, s, all, 50, "v")
	x := saved(t, s)
	check(t, "close", s.Close())
	for _, name := range x.names {
		y := stored{x.meta, x.names, maps.Clone(x.files)}
		y.files[name] = nil
		if s, err := f.Open(t.Context(), env(all, []backend.Part{y.part(all, all)})); err == nil {
			s.Close()
			t.Errorf("opened without the file %s", name)
		}
	}
}

// short shows that of what is left of a file nothing wrong is read: opening fails, or reading, or what is read is right.
func short(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	m := fill(t, s, all, 50, "v")
	x := saved(t, s)
	check(t, "close", s.Close())
	for _, name := range x.names {
		y := stored{x.meta, x.names, maps.Clone(x.files)}
		y.files[name] = append([]byte{}, y.files[name][:len(y.files[name])/2]...)
		s, err := f.Open(t.Context(), env(all, []backend.Part{y.part(all, all)}))
		if err != nil {
			continue
		}
		n, err := readAll(s)
		if err == nil && !maps.Equal(m, n) {
			t.Errorf("with half of the file %s, %d of %d keys were read without an error", name, len(n), len(m))
		}
		s.Close()
	}
}

func readAll(s backend.Store) (model, error) {
	it, err := s.Scan(all.Keys())
	if err != nil {
		return nil, err
	}
	defer it.Close()
	m := model{}
	for it.Next() {
		m[string(it.Key())] = string(it.Value())
	}
	return m, it.Err()
}

func cancelled(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	fill(t, s, all, 50, "v")
	x := saved(t, s)
	check(t, "close", s.Close())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := f.Open(ctx, env(all, []backend.Part{x.part(all, all)})); err == nil {
		s.Close()
		t.Error("a restore whose context was cancelled succeeded")
	}
}

func closeTwice(t *testing.T, f backend.Factory) {
	s := openStore(t, f, all)
	snap := take(t, s)
	check(t, "close", errors.Join(s.Close(), s.Close(), snap.Close(), snap.Close()))
}
