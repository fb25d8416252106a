package state_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

type shelf struct {
	Books  state.Map[string, int32]
	Points state.Map[struct{ X, Y int8 }, []byte]
	Log    state.List[int64]
	Notes  state.List[[]string]
}

// Maps and lists of several keys are changed at random and compared with Go's own after every batch.
func TestCollections(t *testing.T) {
	type model struct {
		books  map[string]int32
		points map[struct{ X, Y int8 }]string
		log    []int64
		notes  []string
	}
	var p shelf
	o := newOperator(t, &p, keyhash.String)
	rnd := rand.New(rand.NewPCG(7, 8))
	models := map[string]*model{}
	change := func(key string) {
		m := models[key]
		if m == nil {
			m = &model{books: map[string]int32{}, points: map[struct{ X, Y int8 }]string{}}
			models[key] = m
		}
		title, n := fmt.Sprint("title ", rnd.IntN(50)), rnd.Int64N(1000)
		point := struct{ X, Y int8 }{int8(n % 5), int8(n % 3)}
		switch rnd.IntN(12) {
		case 0, 1, 2:
			p.Books.Put(title, int32(n))
			m.books[title] = int32(n)
		case 3:
			p.Books.Delete(title)
			delete(m.books, title)
		case 4:
			p.Points.Put(point, []byte(title))
			m.points[point] = title
		case 5:
			p.Points.Delete(point)
			delete(m.points, point)
		case 6, 7:
			p.Log.Append(n, n+1, n+2)
			m.log = append(m.log, n, n+1, n+2)
		case 8:
			p.Notes.Append([]string{title})
			m.notes = append(m.notes, title)
		case 9:
			m.log = []int64{n}
			p.Log.Set(m.log)
		case 10:
			if n < 100 {
				p.Notes.Clear()
				p.Books.Clear()
				m.notes = nil
				clear(m.books)
			}
		case 11:
			if n < 100 {
				p.Points.Clear()
				clear(m.points)
			}
		}
		if v, ok := p.Books.Get(title); v != m.books[title] || ok != p.Books.Has(title) {
			t.Fatalf("%s: %s is %d %v, want %d", key, title, v, ok, m.books[title])
		}
	}
	check := func(key string) {
		m := models[key]
		if got := maps.Collect(p.Books.All()); !maps.Equal(got, m.books) || p.Books.Len() != len(m.books) {
			t.Fatalf("%s: books %v, want %v", key, got, m.books)
		}
		points := map[struct{ X, Y int8 }]string{}
		for k, v := range p.Points.All() {
			points[k] = string(v)
		}
		if !maps.Equal(points, m.points) {
			t.Fatalf("%s: points %v, want %v", key, points, m.points)
		}
		if got := slices.Collect(p.Log.All()); !slices.Equal(got, m.log) || p.Log.Len() != len(m.log) {
			t.Fatalf("%s: log %v, want %v", key, got, m.log)
		}
		var notes []string
		for v := range p.Notes.All() {
			notes = append(notes, v...)
		}
		if !slices.Equal(notes, m.notes) {
			t.Fatalf("%s: notes %v, want %v", key, notes, m.notes)
		}
	}
	for range 1000 {
		var keys []string
		for range 16 {
			keys = append(keys, fmt.Sprint("shelf ", rnd.IntN(20)))
		}
		o.on(change, keys...)
		o.on(check, keys...)
	}
}

// Loops go on in good order while what they loop over is changed.
func TestChangeDuringLoop(t *testing.T) {
	var p shelf
	o := newOperator(t, &p, keyhash.String)
	o.on(func(string) {
		for i := range 10 {
			p.Books.Put(fmt.Sprint(i), int32(i))
			p.Log.Append(int64(i))
		}
		var books, log []int
		for k, v := range p.Books.All() {
			books = append(books, int(v))
			p.Books.Delete(k)
			p.Books.Delete(fmt.Sprint(v + 1))
			p.Books.Put("more", 100)
		}
		for v := range p.Log.All() {
			log = append(log, int(v))
			p.Log.Append(100)
			if v == 6 {
				p.Log.Set([]int64{1})
			}
		}
		if fmt.Sprint(books) != "[0 2 4 6 8]" && fmt.Sprint(books) != "[0 100 2 4 6 8]" || p.Books.Len() != 1 {
			t.Errorf("books in the loop: %v, after it %d", books, p.Books.Len())
		}
		if fmt.Sprint(log) != "[0 1 2 3 4 5 6]" || p.Log.Len() != 1 {
			t.Errorf("log in the loop: %v, after it %d", log, p.Log.Len())
		}
	}, "a")
}

// On a plain stream a list belongs to the subtask and needs no runtime.
func TestPlainList(t *testing.T) {
	var l state.List[string]
	l.Append("a", "b")
	l.Append("c")
	for range l.All() {
		l.Append("not in the loop")
	}
	l.Set(slices.Collect(l.All())[:4])
	if got := slices.Collect(l.All()); fmt.Sprint(got) != "[a b c not in the loop]" || l.Len() != 4 {
		t.Errorf("got %q", got)
	}
	l.Clear()
	if l.Len() != 0 {
		t.Errorf("%d elements after Clear", l.Len())
	}
}
