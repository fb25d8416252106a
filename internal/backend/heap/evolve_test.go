package heap_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// Versions of a program's state. All of the second is read from what the first has written.
type (
	placeV1 struct {
		Name string
		X, Y int32
	}
	placeV2 struct {
		Y, X  int64
		Label string `codec:",formerly=Name"`
		Rank  int    `codec:",default=7"`
		Tags  []string
	}
	programV1 struct {
		Count state.Value[int32]
		Place state.Value[placeV1] `state:"place"`
		Parts state.Value[[]placeV1]
		Seen  state.Map[uint16, placeV1]
		Words state.List[int8]
		Spots state.List[[]placeV1]
		Idle  state.Timer `timer:"idle,event"`
	}
	programV2 struct {
		Quiet state.Timer           `timer:"quiet,event,formerly=idle"`
		Spots state.List[[]placeV2] `state:"spots"`
		Words state.List[*int16]    `state:"letters,formerly=words"`
		Seen  state.Map[int64, placeV2]
		More  state.Value[string]
		Parts state.Value[[]*placeV2]
		Place state.Value[placeV2]
		Total state.Value[[]int64] `state:"total,formerly=sum,formerly=count"`
	}
)

func fillV1(t *testing.T) (*programV1, *heap.Store[int32]) {
	p := &programV1{}
	s := open(t, p, 0, 1, hash32)
	at(s, hash32, func(k int32) {
		p.Count.Set(k)
		p.Place.Set(placeV1{fmt.Sprint("p", k), k, -k})
		p.Parts.Set([]placeV1{{"a", k, 1}, {"b", k, 2}})
		p.Seen.Put(65535, placeV1{"s", 1, k})
		p.Seen.Put(1, placeV1{"t", 2, k})
		p.Words.Append(-1, int8(k))
		p.Spots.Append(nil, []placeV1{{"c", k, k}})
		p.Idle.AtMillis(int64(1000 * k))
	}, 1, 2, -3)
	at(s, hash32, func(int32) { p.Words.Append(5) }, 99) // all else was never set
	return p, s
}

func hash32(k int32) uint64 { return keyhash.Uint64(uint64(k)) }

// Everything of a state evolves: values kept as they are and encoded, keys and values of maps, elements of lists, the keys themselves; names
// change; timers and what is new are as they should be. What was never set stays so, even where new fields have defaults.
func TestStateEvolves(t *testing.T) {
	_, old := fillV1(t)
	k, b := write(t, old.Capture())
	var p programV2
	s := open(t, &p, 0, 1, hashInt)
	if err := s.Restore(k, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	label := func(x, y int64, name string) placeV2 { return placeV2{Y: y, X: x, Label: name, Rank: 7} }
	for range 2 { // once more after a snapshot in the new form
		if s.Len() != 4 {
			t.Errorf("%d keys", s.Len())
		}
		at(s, hashInt, func(k int64) {
			one, two := label(k, 1, "a"), label(k, 2, "b")
			expect(t, p.Total.Get(), []int64{k})
			expect(t, p.Place.Get(), label(k, -k, fmt.Sprint("p", k)))
			expect(t, p.Parts.Get(), []*placeV2{&one, &two})
			expect(t, collect2(p.Seen.All()), []string{fmt.Sprint(65535, label(1, k, "s")), fmt.Sprint(1, label(2, k, "t"))})
			var words []int16
			for w := range p.Words.All() {
				words = append(words, *w)
			}
			expect(t, words, []int16{-1, int16(k)})
			var spots [][]placeV2
			for sp := range p.Spots.All() {
				spots = append(spots, sp)
			}
			expect(t, spots, [][]placeV2{nil, {label(k, k, "c")}})
			at, ok := p.Quiet.Deadline()
			expect(t, fmt.Sprint(at.UnixMilli(), ok), fmt.Sprint(1000*k, true))
			expect(t, p.More.Get(), "")
		}, 1, 2, -3)
		at(s, hashInt, func(int64) {
			expect(t, p.Total.Get(), []int64(nil))
			expect(t, p.Place.Get(), placeV2{})
			expect(t, p.Parts.Get(), []*placeV2(nil))
			expect(t, p.Words.Len(), 1)
		}, 99)
		k, b = write(t, s.Capture())
		p = programV2{}
		s = open(t, &p, 0, 1, hashInt)
		if err := s.Restore(k, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
}

// A chain evolves stream by stream: what it begins with and each increment may be of another version.
func TestChainEvolves(t *testing.T) {
	var old programV1
	l, err := heap.NewLayout(reflect.TypeFor[int32]())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Bind(&old); err != nil {
		t.Fatal(err)
	}
	l.Track()
	s, err := heap.NewStore(l, keygroup.RangeOf(0, 1, maxParallelism), maxParallelism, func(k *int32) uint64 { return hash32(*k) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at(s, hash32, func(k int32) {
		old.Count.Set(k)
		old.Seen.Put(1, placeV1{"one", 1, k})
		old.Seen.Put(2, placeV1{"two", 2, k})
		old.Words.Append(1, 2)
		old.Parts.Set([]placeV1{{"a", 1, 1}})
	}, 1, 2, 3)
	first := s.Capture()
	base := first.Epoch()
	k1, b1 := write(t, first)
	at(s, hash32, func(k int32) {
		old.Count.Clear()
		old.Seen.Delete(1)
		old.Seen.Put(3, placeV1{"three", 3, k})
		old.Words.Append(3)
		old.Parts.Clear()
	}, 2)
	k2, b2 := write(t, s.CaptureSince(base))

	var p programV2
	r := open(t, &p, 0, 1, hashInt)
	if err := errors.Join(r.Restore(k1, bytes.NewReader(b1)), r.Restore(k2, bytes.NewReader(b2))); err != nil {
		t.Fatal(err)
	}
	at(r, hashInt, func(k int64) {
		seen, words, total, parts := []int64{1, 2}, 2, []int64{k}, 1
		if k == 2 {
			seen, words, total, parts = []int64{2, 3}, 3, nil, 0
		}
		expect(t, p.Total.Get(), total)
		expect(t, p.Words.Len(), words)
		expect(t, len(p.Parts.Get()), parts)
		var keys []int64
		for at, place := range p.Seen.All() {
			keys = append(keys, at)
			expect(t, place.X, at)
			expect(t, place.Rank, 7)
		}
		expect(t, keys, seen)
	}, 1, 2, 3)
}

func expect(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func collect2[K, V any](all func(func(K, V) bool)) (pairs []string) {
	for k, v := range all {
		pairs = append(pairs, fmt.Sprint(k, v))
	}
	return pairs
}

// The same over a byte store with room for a single row: what was restored is read back from there in its new form.
func TestStateEvolvesIntoByteStore(t *testing.T) {
	_, old := fillV1(t)
	k, b := write(t, old.Capture())
	var p programV2
	s := open(t, &p, 0, 1, hashInt)
	s.Back(openUnder(t), 1)
	if err := s.Restore(k, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, key := range []int64{1, 2, -3} {
			at(s, hashInt, func(k int64) {
				expect(t, p.Total.Get(), []int64{k})
				expect(t, p.Place.Get(), placeV2{Y: -k, X: k, Label: fmt.Sprint("p", k), Rank: 7})
				expect(t, len(p.Parts.Get()), 2)
				expect(t, p.Words.Len(), 2)
				v, ok := p.Seen.Get(65535)
				expect(t, fmt.Sprint(v, ok), fmt.Sprint(placeV2{Y: k, X: 1, Label: "s", Rank: 7}, true))
				p.More.Set("x") // the row is written back
			}, key)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

// A packed stream is read as it lies in memory only by a program with the very same types.
func TestPackedStateEvolves(t *testing.T) {
	type v1 struct{ A, B int32 }
	type v2 struct{ B, A int32 }
	var p struct {
		V state.Value[v1] `state:"v"`
		N state.Value[int64]
	}
	s := open(t, &p, 0, 1, hashInt)
	at(s, hashInt, func(k int64) { p.V.Set(v1{int32(k), int32(10 * k)}); p.N.Set(k) }, 1, 2, 3)
	k, b := write(t, s.Capture())
	var q struct {
		V state.Value[v2] `state:"v"`
		N state.Value[int64]
	}
	r := open(t, &q, 0, 1, hashInt)
	if err := r.Restore(k, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	at(r, hashInt, func(k int64) { expect(t, q.V.Get(), v2{int32(10 * k), int32(k)}); expect(t, q.N.Get(), k) }, 1, 2, 3)
}

type money struct {
	Amount   int64
	Currency string
}

// migrating reads the totals of its first versions, which were cents as int32 and then a struct.
type migrating struct {
	Total state.Value[money]      `state:"total"`
	Rates state.Map[int8, []byte] `state:"rates"`
	Names state.List[string]      `state:"names"`
	All   state.UnionList[money]  `state:"all"`
}

type centsV2 struct{ Cents int64 }

func (*migrating) Migrations() []state.Migration {
	return []state.Migration{
		state.Migrate("total", func(cents int32) (centsV2, error) {
			if cents == 13 {
				return centsV2{}, errors.New("13 is not possible")
			}
			return centsV2{int64(cents)}, nil
		}),
		state.Migrate("total", func(c centsV2) (money, error) { return money{c.Cents, "EUR"}, nil }),
		state.Migrate("rates", func(text string) ([]byte, error) { return []byte(text), nil }),
		state.Migrate("names", func(n int64) (string, error) { return fmt.Sprint("#", n), nil }),
		state.Migrate("all", func(cents int32) (money, error) { return money{int64(cents), "EUR"}, nil }),
	}
}

type migratingV1 struct {
	Total state.Value[int32]      `state:"total"`
	Rates state.Map[int8, string] `state:"rates"`
	Names state.List[int8]        `state:"names"` // evolves to what the migration begins with
	All   state.UnionList[int32]  `state:"all"`
}

// The program's own functions make the new values, in a chain from whichever version, and their errors name the key.
func TestMigrations(t *testing.T) {
	var old migratingV1
	s, oldLists := openWith(t, &old)
	at(s, keyhash.String, func(k string) {
		old.Total.Set(int32(len(k)))
		old.Rates.Put(1, k)
		old.Names.Append(7, int8(len(k)))
	}, "a", "bb")
	at(s, keyhash.String, func(string) { old.Rates.Put(2, "x") }, "never set")
	old.All.Append(5, 6)
	k, b := write(t, s.Capture())

	var now migrating
	r, lists := openWith(t, &now)
	if err := errors.Join(r.Restore(k, bytes.NewReader(b)), lists.Restore(oldLists.Capture())); err != nil {
		t.Fatal(err)
	}
	at(r, keyhash.String, func(k string) {
		expect(t, now.Total.Get(), money{int64(len(k)), "EUR"})
		expect(t, collect2(now.Rates.All()), []string{fmt.Sprint(1, []byte(k))})
		var names []string
		for n := range now.Names.All() {
			names = append(names, n)
		}
		expect(t, names, []string{"#7", fmt.Sprint("#", len(k))})
	}, "a", "bb")
	at(r, keyhash.String, func(string) { expect(t, now.Total.Get(), money{}) }, "never set")
	var all []money
	for m := range now.All.All() {
		all = append(all, m)
	}
	expect(t, all, []money{{5, "EUR"}, {6, "EUR"}})

	// What is migrated stays as it is.
	k2, b2 := write(t, r.Capture())
	var later migrating
	if r, lists := openWith(t, &later); errors.Join(r.Restore(k2, bytes.NewReader(b2)), lists.Restore(lists.Capture())) != nil || r.Len() != 3 {
		t.Errorf("a snapshot of the present types: %d keys", r.Len())
	} else {
		at(r, keyhash.String, func(string) { expect(t, later.Total.Get(), money{2, "EUR"}) }, "bb")
	}

	at(s, keyhash.String, func(string) { old.Total.Set(13) }, "unlucky")
	k, b = write(t, s.Capture())
	var refused migrating
	r, _ = openWith(t, &refused)
	err := r.Restore(k, bytes.NewReader(b))
	if err == nil || !strings.Contains(err.Error(), `key unlucky: state "total": its migration from int32: 13 is not possible`) || !permanent(err) {
		t.Errorf("an error of a migration: %v", err)
	}
}

func openWith(t *testing.T, processor any) (*heap.Store[string], *heap.OperatorLists) {
	t.Helper()
	lists := &heap.OperatorLists{}
	return openLists[string](t, processor, lists, keyhash.String), lists
}

type wrongMigrations struct {
	Total state.Value[int64] `state:"total"`
	Idle  state.Timer        `timer:"idle"`
	m     []state.Migration
}

func (w *wrongMigrations) Migrations() []state.Migration { return w.m }

// A chain that does not lead to the state's type is a mistake that is found before a job starts.
func TestMigrationMistakes(t *testing.T) {
	type cents int64
	for want, m := range map[string][]state.Migration{
		`there is a migration of state "sum", but no such state with values`:                              {state.Migrate("sum", func(int8) (int64, error) { return 0, nil })},
		`there is a migration of state "idle", but no such state with values`:                             {state.Migrate("idle", func(int8) (int64, error) { return 0, nil })},
		`state "total": its migration from string ends with int, and must end with int64`:                 {state.Migrate("total", func(string) (int, error) { return 0, nil })},
		`state "total": its migration from heap_test.cents to int64 cannot be told from none, since both`: {state.Migrate("total", func(cents) (int64, error) { return 0, nil })},
		`state "total": its migration from bool ends with int64, and must end with string`: {
			state.Migrate("total", func(bool) (int64, error) { return 0, nil }), state.Migrate("total", func(string) (int64, error) { return 0, nil })},
		`migration of state "total": codec: type func() cannot be encoded`: {state.Migrate("total", func(func()) (int64, error) { return 0, nil })},
		"a migration was not made by state.Migrate":                        {{}},
	} {
		l, err := heap.NewLayout(reflect.TypeFor[string]())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Bind(&wrongMigrations{m: m}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
