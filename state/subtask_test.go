package state_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/state"
)

var update = flag.Bool("update", false, "rewrite the golden files; a changed line breaks snapshots that exist")

// ofSubtask has every kind of state that belongs to a subtask.
type ofSubtask struct {
	Split state.List[string]              `state:"split"`
	Union state.UnionList[int32]          `state:"union"`
	Rules state.Broadcast[string, []bool] `state:"rules"`
}

func bindLists(t *testing.T, p any) *heap.OperatorLists {
	t.Helper()
	var lists heap.OperatorLists
	if err := lists.Bind(p); err != nil {
		t.Fatal(err)
	}
	return &lists
}

// TestSubtaskStateForm shows that the states of a subtask have the bytes that docs/formats/operator.md says, those of the golden file, and that
// they are read back.
func TestSubtaskStateForm(t *testing.T) {
	var p ofSubtask
	lists := bindLists(t, &p)
	p.Split.Append("a", "bc")
	p.Union.Append(1, -2)
	p.Rules.Put("x", []bool{true})
	p.Rules.Put("gone", nil)
	p.Rules.Put("y", nil)
	p.Rules.Delete("gone")
	captured := lists.Capture()
	var got bytes.Buffer
	for _, l := range captured {
		fmt.Fprintf(&got, "%s %s\n  schema %x\n  offsets %v\n  bytes %x\n", l.Name, l.Mode, l.Schema, l.Offsets, l.Bytes)
	}
	const file = "testdata/subtask-v1.txt"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("captured\n%swant\n%s", got.String(), want)
	}
	var q ofSubtask
	if err := bindLists(t, &q).Restore(captured); err != nil {
		t.Fatal(err)
	}
	rules := maps.Collect(q.Rules.All())
	if !slices.Equal(slices.Collect(q.Split.All()), []string{"a", "bc"}) || !slices.Equal(slices.Collect(q.Union.All()), []int32{1, -2}) ||
		!reflect.DeepEqual(rules, map[string][]bool{"x": {true}, "y": nil}) {
		t.Errorf("restored %+v", q)
	}
}

// TestEmptySubtaskState shows that a union list and a map are captured also when they are empty, a list that is dealt out is not; and that
// what is empty does not stop a program that has no such state any more.
func TestEmptySubtaskState(t *testing.T) {
	captured := bindLists(t, &ofSubtask{}).Capture()
	if len(captured) != 2 || captured[0].Name != "union" || captured[1].Name != "rules" {
		t.Fatalf("captured %+v", captured)
	}
	if err := bindLists(t, &struct{}{}).Restore(captured); err != nil {
		t.Error(err)
	}
}

// TestSubtaskStateRefused shows what is wrong with a declaration or a snapshot, in the words that the user sees.
func TestSubtaskStateRefused(t *testing.T) {
	for _, c := range []struct {
		want      string
		processor any
	}{
		{`field B: the name "a" is taken by field A`, &struct {
			A state.UnionList[int]
			B state.Broadcast[string, int] `state:"a"`
		}{}},
		{"field A: key type *int: ptr values cannot be part of a key", &struct{ A state.Broadcast[*int, int] }{}},
		{`field A: state "a": `, &struct{ A state.UnionList[func()] }{}},
		{"field A: it takes a tag state, not timer", &struct {
			A state.UnionList[int] `timer:"a"`
		}{}},
	} {
		if err := new(heap.OperatorLists).Bind(c.processor); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: %v, want %s", c.processor, err, c.want)
		}
	}
	layout, err := heap.NewLayout(reflect.TypeFor[int]())
	if err != nil {
		t.Fatal(err)
	}
	err = layout.BindWith(&heap.OperatorLists{}, &struct {
		A state.Value[int]
		B state.UnionList[int] `state:"a"`
		C state.Value[int]     `state:"c"`
		D state.Broadcast[int, int]
		E state.Map[int, int] `state:"d"`
	}{})
	for _, want := range []string{`field B: the name "a" is taken by field A`, `field E: the name "d" is taken by field D`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}

	var p ofSubtask
	lists := bindLists(t, &p)
	p.Union.Append(1)
	captured := lists.Capture()
	err = bindLists(t, &struct {
		Union state.List[int32]
	}{}).Restore(captured)
	if want := "it was a state.UnionList in the snapshot and is a state.List now"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestBroadcast changes a map at random and compares it with Go's own, in the order of first puts, through captures and restores.
func TestBroadcast(t *testing.T) {
	type table struct{ M state.Broadcast[int, int] }
	rnd := rand.New(rand.NewPCG(1, 2))
	p := &table{}
	lists := bindLists(t, p)
	model, order := map[int]int{}, []int{}
	forget := func(k int) {
		delete(model, k)
		order = slices.DeleteFunc(order, func(o int) bool { return o == k })
	}
	for step := range 20_000 {
		k, v := rnd.IntN(200), rnd.Int()
		switch n := rnd.IntN(1000); {
		case n < 500:
			p.M.Put(k, v)
			if _, ok := model[k]; !ok {
				order = append(order, k)
			}
			model[k] = v
		case n < 990:
			p.M.Delete(k)
			forget(k)
		case n < 992:
			p.M.Clear()
			clear(model)
			order = nil
		case n < 995: // deletes what it meets, and adds what it must not meet
			for at := range p.M.All() {
				if at < 0 {
					t.Fatal("an entry that was added in the loop was met")
				}
				if at%2 == 0 {
					p.M.Delete(at)
					forget(at)
				}
				p.M.Put(-1, at)
			}
			p.M.Delete(-1)
		default:
			captured := lists.Capture()
			p = &table{}
			lists = bindLists(t, p)
			if err := lists.Restore(captured); err != nil {
				t.Fatal(err)
			}
		}
		got, ok := p.M.Get(k)
		want, there := model[k]
		if got != want || ok != there || p.M.Has(k) != there || p.M.Len() != len(model) {
			t.Fatalf("step %d: %d is %d %v of %d, want %d %v of %d", step, k, got, ok, p.M.Len(), want, there, len(model))
		}
		if step%100 == 0 {
			var keys []int
			for k, v := range p.M.All() {
				if v != model[k] {
					t.Fatalf("step %d: %d is %d, want %d", step, k, v, model[k])
				}
				keys = append(keys, k)
			}
			if !slices.Equal(keys, order) {
				t.Fatalf("step %d: order %v, want %v", step, keys, order)
			}
		}
	}
}
