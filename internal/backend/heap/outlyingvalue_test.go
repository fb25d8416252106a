package heap_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/state"
)

// title is a value that is kept as it is.
type title struct {
	Name   string
	Volume int32
	Author string
}

// chapter is a value that is kept encoded.
type chapter struct {
	Number int32
	Words  []string
}

// shelves has values of each kind that can be long, beside others.
type shelves struct {
	Count  state.Value[int64]             `state:"count"`
	Raw    state.Value[[]byte]            `state:"raw"`
	Text   state.Value[string]            `state:"text,default=a text"`
	Title  state.Value[title]             `state:"title"`
	Part   state.Value[chapter]           `state:"part"`
	Lent   state.Value[[]byte]            `state:"lent,ttl=10s"`
	Note   state.Value[string]            `state:"note,ttl=10s,refresh=read"`
	Joined state.Reducing[string, joined] `state:"joined"`
	Books  state.Map[int64, string]       `state:"books"`
	Due    state.Timer                    `timer:"due,event"`
}

type joined struct{}

func (joined) Reduce(a, b string) string {
	if a += b; len(a) > 400 {
		return a[300:]
	}
	return a
}

// shelf of a key as plain Go.
type plainShelves struct {
	count              int64
	raw, lent          []byte
	text, note, joined string
	title              title
	part               chapter
	lentAt, noteAt     int64
}

func (m *plainShelves) clone() *plainShelves {
	c := *m
	return &c
}

const shelfTTL = 10_000

// change does something to the states of a key and to its model.
func (m *plainShelves) change(t *testing.T, p *shelves, rnd *rand.Rand, now int64) {
	t.Helper()
	text := strings.Repeat(fmt.Sprintf("%d ", rnd.IntN(1000)), rnd.IntN(8)*rnd.IntN(40))
	switch rnd.IntN(20) {
	case 0, 1:
		m.raw = []byte(text)
		p.Raw.Set(m.raw)
	case 2, 3: // a few bytes differ
		if raw := p.Raw.Get(); len(raw) > 0 {
			raw[rnd.IntN(len(raw))]++
			p.Raw.Set(raw)
			m.raw = bytes.Clone(raw)
		}
	case 4: // longer by some
		m.raw = append(bytes.Clone(m.raw), text...)
		m.raw = m.raw[:min(len(m.raw), 1000)]
		p.Raw.Set(m.raw)
	case 5: // shorter
		m.raw = m.raw[:len(m.raw)/2]
		p.Raw.Set(m.raw)
	case 6:
		m.raw = nil
		p.Raw.Clear()
	case 7, 8:
		m.text = text
		p.Text.Set(text)
	case 9:
		m.text = "a text"
		p.Text.Clear()
	case 10:
		m.title = title{text, int32(rnd.IntN(3)), "somebody"}
		p.Title.Set(m.title)
	case 11:
		m.title = title{Name: m.title.Name, Volume: 1, Author: text}
		p.Title.Set(m.title)
	case 12:
		m.title = title{}
		p.Title.Clear()
	case 13, 14:
		m.part = chapter{int32(rnd.IntN(3)), strings.Fields(text)}
		p.Part.Set(m.part)
	case 15:
		p.Part.Clear()
		m.part = chapter{}
	case 16:
		m.lent, m.lentAt = []byte(text), now
		p.Lent.Set(m.lent)
	case 17:
		m.note, m.noteAt = text, now
		p.Note.Set(text)
	case 18:
		p.Joined.Add(text)
		m.joined = joined{}.Reduce(m.joined, text)
	case 19:
		p.Text.Set(p.Text.Get()) // what is the same
		p.Raw.Set(p.Raw.Get())
	}
	m.count++
	p.Count.Set(p.Count.Get() + 1)
}

func (m *plainShelves) check(t *testing.T, p *shelves, now int64) {
	t.Helper()
	if now-m.lentAt >= shelfTTL {
		m.lent = nil
	}
	if now-m.noteAt >= shelfTTL {
		m.note = ""
	}
	for _, c := range []struct{ name, got, want string }{
		{"count", fmt.Sprint(p.Count.Get()), fmt.Sprint(m.count)},
		{"raw", string(p.Raw.Get()), string(m.raw)},
		{"text", p.Text.Get(), m.text},
		{"title", fmt.Sprint(p.Title.Get()), fmt.Sprint(m.title)},
		{"part", fmt.Sprint(p.Part.Get()), fmt.Sprint(m.part)},
		{"lent", string(p.Lent.Get()), string(m.lent)},
		{"note", p.Note.Get(), m.note},
		{"joined", p.Joined.Get(), m.joined},
	} {
		if c.got != c.want {
			t.Fatalf("%s is %q, want %q", c.name, c.got, c.want)
		}
	}
	if m.note != "" {
		m.noteAt = now // it was read
	}
}

// TestLongValues shows that values around the length from which they are outlying are what variables in Go are, with room for all of them and for next to
// nothing: they are set, changed in part, made longer and shorter, cleared, read, and expire; and they are so after the store was preserved and opened
// again, and in a canonical savepoint that is restored with and without a byte store.
func TestLongValues(t *testing.T) {
	for _, from := range []int{0, 100} {
		for _, memory := range []int64{1, 4 << 10, 200 << 10} {
			t.Run(fmt.Sprintf("from=%d,memory=%d", from, memory), func(t *testing.T) {
				defer heap.LongFrom(from, 64)()
				defer heap.OutlyingFrom(from, memory/8)()
				rnd, now := rand.New(rand.NewPCG(uint64(memory), uint64(from))), int64(100_000)
				model := map[int64]*plainShelves{}
				for k := range int64(6) {
					model[k] = &plainShelves{text: "a text"}
				}
				p := &shelves{}
				s := open(t, p, 0, 1, hashInt)
				s.Back(openUnder(t), memory)
				change := func(times int) {
					at(s, hashInt, func(k int64) {
						for range times {
							model[k].change(t, p, rnd, now)
							if rnd.IntN(8) == 0 {
								model[k].check(t, p, now)
							}
						}
					}, rnd.Int64N(6), rnd.Int64N(6))
				}
				for range 4 {
					for range 30 {
						s.SetTime(now)
						change(10)
						if now += rnd.Int64N(2000); rnd.IntN(5) == 0 {
							s.Sweep(50)
						}
						s.SetTime(now)
					}
					checkShelves(t, s, p, model, now)
					checkShelvesSavepoint(t, s, model, now)
					taken := s.SnapshotStore()
					kept := map[int64]*plainShelves{}
					for k, m := range model {
						kept[k] = m.clone()
					}
					change(20) // while it is taken
					x, err := taken(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					s.Close()
					model, p = kept, &shelves{}
					s = open(t, p, 0, 1, hashInt)
					s.Back(openUnder(t, partOf(x)), memory)
					s.BeginsFilled()
					s.SetTime(now)
					checkShelves(t, s, p, model, now)
				}
				at(s, hashInt, func(int64) {
					p.Count.Clear()
					p.Raw.Clear()
					p.Text.Clear()
					p.Title.Clear()
					p.Part.Clear()
					p.Lent.Clear()
					p.Note.Clear()
					p.Joined.Clear()
				}, 0, 1, 2, 3, 4, 5)
				wantNothing(t, s)
			})
		}
	}
}

// wantNothing sees that nothing is left in a byte store once all is written back.
func wantNothing(t *testing.T, s *heap.Store[int64]) {
	t.Helper()
	if n := s.Len(); n != 0 || s.Err() != nil {
		t.Errorf("%d keys are left, %v", n, s.Err())
	}
	x, err := s.SnapshotStore()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	it, err := openUnder(t, partOf(x)).Scan(backend.Groups{First: 0, Last: maxParallelism - 1}.Keys())
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		t.Errorf("%x is left in the byte store", it.Key())
	}
}

func checkShelves(t *testing.T, s *heap.Store[int64], p *shelves, model map[int64]*plainShelves, now int64) {
	t.Helper()
	at(s, hashInt, func(k int64) { model[k].check(t, p, now) }, 0, 1, 2, 3, 4, 5)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	for k, m := range model {
		var raw []byte
		var title title
		_, _, err := s.Query(k, hashInt(k), "raw", &raw)
		if err == nil {
			_, _, err = s.Query(k, hashInt(k), "title", &title)
		}
		if err != nil || !bytes.Equal(raw, m.raw) || title != m.title {
			t.Fatalf("a query has %q and %v, want %q and %v: %v", raw, title, m.raw, m.title, err)
		}
	}
}

// checkShelvesSavepoint writes a canonical savepoint, and reads it into a store without and one with a byte store, and in two parts.
func checkShelvesSavepoint(t *testing.T, s *heap.Store[int64], model map[int64]*plainShelves, now int64) {
	t.Helper()
	k, b := write(t, s.Capture())
	for _, backed := range []bool{false, true} {
		for i := range 2 {
			p := &shelves{}
			again := open(t, p, i, 2, hashInt)
			if backed {
				again.Back(openUnder(t), 1)
			}
			again.SetTime(now)
			if err := again.Restore(k, bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
			for key, m := range model {
				if keygroup.SubtaskOf(keygroup.Of(hashInt(key), maxParallelism), 2, maxParallelism) == i {
					at(again, hashInt, func(int64) { m.clone().check(t, p, now) }, key)
				}
			}
			if err := again.Err(); err != nil {
				t.Fatal(err)
			}
			again.Close()
		}
	}
}

// weighing is a byte store that counts the bytes of what is applied and read.
type weighing struct {
	backend.Store
	ops, bytes, read atomic.Int64
	largest          atomic.Int64 // batch
}

func (w *weighing) Apply(b *backend.Batch) error {
	w.ops.Add(int64(b.Len()))
	w.bytes.Add(int64(b.Size()))
	w.largest.Store(max(w.largest.Load(), int64(b.Size())))
	return w.Store.Apply(b)
}

func (w *weighing) Get(keys [][]byte, found func(int, []byte) error) error {
	return w.Store.Get(keys, func(i int, v []byte) error { w.read.Add(int64(len(v))); return found(i, v) })
}

func (w *weighing) Scan(from, to []byte) (backend.Iterator, error) {
	it, err := w.Store.Scan(from, to)
	return weighedIterator{it, w}, err
}

type weighedIterator struct {
	backend.Iterator
	of *weighing
}

func (i weighedIterator) Next() bool {
	more := i.Iterator.Next()
	if more {
		i.of.read.Add(int64(len(i.Iterator.Value())))
	}
	return more
}

// TestLongValueByItself shows what is written and read of a row with a value of 1 MB: the row without the value as long as that does not change, of the value
// the pieces that differ, and nothing of it if nobody asks for it.
func TestLongValueByItself(t *testing.T) {
	const size, piece = 1 << 20, 32 << 10
	p := &shelves{}
	s := open(t, p, 0, 1, hashInt)
	under := &weighing{Store: openPebbleUnder(t)}
	s.Back(under, 1<<20)
	long := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	at(s, hashInt, func(int64) { p.Raw.Set(long) }, 1)
	s.SnapshotStore()(t.Context())
	if n := under.bytes.Load(); n < size || n > size+size/64 {
		t.Errorf("%d bytes were written of a value of %d", n, size)
	}
	for _, test := range []struct {
		name          string
		do            func()
		written, read int64 // at most, beside the row
	}{
		{"another state", func() { p.Count.Set(5) }, 0, 0},
		{"read", func() { p.Raw.Get() }, 0, size},
		{"one byte", func() { b := p.Raw.Get(); b[size/2]++; p.Raw.Set(b) }, piece, size},
		{"nothing", func() { p.Raw.Set(p.Raw.Get()) }, 0, size},
		{"append", func() { p.Raw.Set(append(p.Raw.Get(), "more"...)) }, 2 * piece, size},
		{"cut", func() { p.Raw.Set(p.Raw.Get()[:size/2]) }, 2 * piece, size},
		{"a text", func() { p.Text.Set(string(long)) }, size, 0},
		{"the same text", func() { p.Text.Set(p.Text.Get()) }, 0, size},
		{"one byte of a text", func() { s := p.Text.Get(); p.Text.Set(s[:size/2] + "!" + s[size/2+1:]) }, piece, size},
		{"append to a text", func() { p.Text.Set(p.Text.Get() + "more") }, 2 * piece, size},
		{"a title", func() { p.Title.Set(title{Name: string(long)}) }, size, 0},
		{"the same title", func() { p.Title.Set(p.Title.Get()) }, 0, size},
		{"all of it", func() { p.Raw.Set(bytes.Repeat([]byte("x"), size)) }, size, 0},
		{"clear", func() { p.Raw.Clear() }, 0, 0},
	} {
		for k := range int64(40) { // something else, so that key 1 may go
			at(s, hashInt, func(int64) { p.Raw.Set(long[:100_000+1000*k]) }, 2+k)
		}
		if _, err := s.SnapshotStore()(t.Context()); err != nil {
			t.Fatal(err)
		}
		under.bytes.Store(0)
		under.read.Store(0)
		at(s, hashInt, func(int64) { test.do() }, 1)
		if _, err := s.SnapshotStore()(t.Context()); err != nil {
			t.Fatal(err)
		}
		const rest = 4 << 10
		if written, read := under.bytes.Load(), under.read.Load(); written > test.written+rest || read > test.read+piece+rest {
			t.Errorf("%s: %d bytes were written, want %d; %d were read, want %d", test.name, written, test.written, read, test.read)
		}
	}
}

// TestLongValuesWithinMemory shows that what the tables take stays within a bound that does not depend on how many long values there are and how often
// they change: the limit, a half of it for what is on its way, and the value that is in use with what it was before.
func TestLongValuesWithinMemory(t *testing.T) {
	const memory, size = 1 << 20, 300 << 10
	defer heap.OutlyingFrom(2<<10, memory/8)()
	for _, test := range []struct {
		name string
		keys int64
		size int
	}{
		{"one that is larger than the memory", 1, 4 * memory},
		{"many, of which a few fit", 50, size},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &shelves{}
			s := open(t, p, 0, 1, hashInt)
			under := &weighing{Store: openUnder(t)}
			s.Back(under, memory)
			most := int64(memory+memory/2) + 3*int64(test.size)
			within := func(what string) {
				if n := s.Taken(); n > most || s.Err() != nil {
					t.Fatalf("%s: %d bytes are taken, want %d at most, %v", what, n, most, s.Err())
				}
			}
			var keys []int64
			for i := range 3 * test.keys {
				keys = append(keys, i%test.keys)
			}
			var snapshots []func()
			for round := range 4 {
				at(s, hashInt, func(k int64) { // all in one batch
					b := p.Raw.Get()
					if len(b) == 0 {
						b = make([]byte, test.size)
					}
					for i := 0; i < len(b); i += 1 << 10 {
						b[i]++
					}
					p.Raw.Set(b)
					p.Count.Set(p.Count.Get() + 1)
					within("within a batch")
				}, keys...)
				within("between batches")
				taken := s.SnapshotStore()
				within("at a checkpoint")
				snapshots = append(snapshots, func() {
					if x, err := taken(t.Context()); err != nil {
						t.Error(err)
					} else {
						x.Close()
					}
				})
				at(s, hashInt, func(k int64) {
					if b := p.Raw.Get(); len(b) != test.size || b[0] != byte(3*(round+1)) || b[1] != 0 {
						t.Fatalf("key %d has %d bytes: %d", k, len(b), b[0])
					}
					within("read")
				}, keys[:test.keys]...)
			}
			for _, wait := range snapshots {
				wait()
			}
			if n := under.largest.Load(); n > most {
				t.Errorf("a batch of %d bytes", n)
			}
		})
	}
}

// TestLongValueInUse shows that a value that is larger than the memory there is, and in use in every batch, is neither read nor written between checkpoints.
func TestLongValueInUse(t *testing.T) {
	p := &shelves{}
	s := open(t, p, 0, 1, hashInt)
	under := &weighing{Store: openUnder(t)}
	s.Back(under, 1<<20)
	at(s, hashInt, func(int64) { p.Raw.Set(make([]byte, 3<<20)) }, 1)
	at(s, hashInt, func(int64) { p.Raw.Get() }, 1)
	s.SnapshotStore()(t.Context())
	under.bytes.Store(0)
	under.read.Store(0)
	for range 20 {
		at(s, hashInt, func(int64) {
			b := p.Raw.Get()
			b[1<<20]++
			p.Raw.Set(b)
		}, 1)
	}
	if written, read := under.bytes.Load(), under.read.Load(); written > 0 || read > 0 || s.Err() != nil {
		t.Errorf("%d bytes were written, %d read, %v", written, read, s.Err())
	}
}

// TestLongValuesExpire shows that long values expire one by one, and leave nothing in the byte store.
func TestLongValuesExpire(t *testing.T) {
	for _, memory := range []int64{1, 100 << 10} {
		defer heap.LongFrom(100, 64)()
		p := &shelves{}
		s := open(t, p, 0, 1, hashInt)
		s.Back(openUnder(t), memory)
		text := strings.Repeat("long ", 100)
		for k := range int64(20) {
			s.SetTime(1000 * k)
			at(s, hashInt, func(int64) {
				p.Lent.Set([]byte(text))
				p.Note.Set(text)
				if k < 10 {
					p.Count.Set(k + 1)
				}
			}, k)
		}
		for range 50 {
			s.Sweep(20)
			at(s, hashInt, func(int64) { p.Note.Get() }, 19)
		}
		at(s, hashInt, func(k int64) {
			if there := len(p.Lent.Get()) > 0; there != (k > 9) || len(p.Note.Get()) > 0 != there {
				t.Errorf("key %d has its value after 19 s: %v", k, there)
			}
		}, 0, 9, 10, 12)
		s.SetTime(100_000)
		for range 100 {
			s.Sweep(20)
		}
		at(s, hashInt, func(int64) { p.Count.Clear() }, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		for range 100 {
			s.Sweep(20)
		}
		wantNothing(t, s)
	}
}

// TestPieces shows that values lie in pieces of the size with which they were written, until they change, and that a value of which a piece is missing or too
// much is told.
func TestPieces(t *testing.T) {
	undo := heap.LongFrom(100, 64)
	p := &shelves{}
	s := open(t, p, 0, 1, hashInt)
	s.Back(openUnder(t), 1<<20)
	text := strings.Repeat("0123456789", 100)
	at(s, hashInt, func(int64) { p.Text.Set(text); p.Raw.Set([]byte(text)) }, 1)
	x, err := s.SnapshotStore()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	undo()
	defer heap.LongFrom(100, 48)()
	reopen := func() {
		p = &shelves{}
		s = open(t, p, 0, 1, hashInt)
		s.Back(openUnder(t, partOf(x)), 1<<20)
		s.BeginsFilled()
	}
	reopen()
	at(s, hashInt, func(int64) {
		p.Count.Set(1)
		b := p.Raw.Get()
		b[500] = 'x'
		p.Raw.Set(b)
	}, 1)
	if x, err = s.SnapshotStore()(t.Context()); err != nil {
		t.Fatal(err)
	}
	reopen()
	at(s, hashInt, func(int64) {
		if b := p.Raw.Get(); string(b) != text[:500]+"x"+text[501:] || p.Text.Get() != text || p.Count.Get() != 1 {
			t.Errorf("%q, %q", b, p.Text.Get())
		}
	}, 1)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{"without the first", "without the last", "longer", "shorter"} {
		under := openUnder(t, partOf(x))
		damagePiece(t, under, damage)
		p = &shelves{}
		s = open(t, p, 0, 1, hashInt)
		s.Back(under, 1<<20)
		s.BeginsFilled()
		_, err := s.Capture().Write(&bytes.Buffer{})
		if !errors.Is(err, keyed.ErrCorrupt) {
			t.Errorf("%s, a savepoint: %v", damage, err)
		}
		at(s, hashInt, func(int64) { p.Text.Get(); p.Raw.Get() }, 1)
		if err := s.Err(); !errors.Is(err, keyed.ErrCorrupt) {
			t.Errorf("%s: %v", damage, err)
		}
	}
}

// damagePiece does something to the pieces of values.
func damagePiece(t *testing.T, under backend.Store, damage string) {
	t.Helper()
	it, err := under.Scan(backend.Groups{First: 0, Last: maxParallelism - 1}.Keys())
	if err != nil {
		t.Fatal(err)
	}
	var keys, values [][]byte
	for it.Next() {
		if it.Key()[2] == 2 {
			keys, values = append(keys, bytes.Clone(it.Key())), append(values, bytes.Clone(it.Value()))
		}
	}
	it.Close()
	var b backend.Batch
	switch last := len(keys) - 1; damage {
	case "without the first":
		b.Delete(keys[0])
	case "without the last":
		b.Delete(keys[last])
	case "longer":
		b.Put(keys[last], append(values[last], "and more"...))
	case "shorter":
		b.Put(keys[0], values[0][1:])
	}
	if err := under.Apply(&b); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenLongValues shows in which form rows and long values lie in a byte store, and that this form is read. What was written in it must be read forever:
// see docs/formats/pebble.md.
func TestGoldenLongValues(t *testing.T) {
	defer heap.LongFrom(40, 32)()
	p := &shelves{}
	s := open(t, p, 0, 1, hashInt)
	under := openUnder(t)
	s.Back(under, 1<<20)
	s.SetTime(1000)
	fill := func(p *shelves, k int64) {
		text := strings.Repeat(fmt.Sprintf("%d long ", k), int(3*k))
		p.Count.Set(k)
		p.Raw.Set([]byte(text))
		p.Title.Set(title{text, 2, "short"})
		p.Part.Set(chapter{1, strings.Fields(text)})
		p.Lent.Set([]byte(text))
		p.Due.AtMillis(k * 1000)
	}
	at(s, hashInt, func(k int64) { fill(p, k) }, 1, 4)
	s.Len() // writes all back
	again := goldenStore(t, "longvalues.txt", under)
	var stream bytes.Buffer
	written, err := heap.WriteStore(again, s.Head(), keygroup.RangeOf(0, 1, maxParallelism), &stream) // as if the program had changed
	if err != nil {
		t.Fatal(err)
	}
	q := &shelves{}
	s = open(t, q, 0, 1, hashInt)
	s.Back(again, 1<<20)
	s.BeginsFilled()
	checkGoldenLongValues(t, s, q)
	q = &shelves{}
	s = open(t, q, 0, 1, hashInt)
	if err := s.Restore(written, bytes.NewReader(stream.Bytes())); err != nil {
		t.Fatal(err)
	}
	checkGoldenLongValues(t, s, q)
}

func checkGoldenLongValues(t *testing.T, s *heap.Store[int64], q *shelves) {
	t.Helper()
	s.SetTime(1000)
	at(s, hashInt, func(k int64) {
		text := strings.Repeat(fmt.Sprintf("%d long ", k), int(3*k))
		if string(q.Raw.Get()) != text || q.Title.Get() != (title{text, 2, "short"}) || len(q.Part.Get().Words) != int(6*k) || string(q.Lent.Get()) != text ||
			q.Text.Get() != "a text" || q.Count.Get() != k {
			t.Errorf("key %d has %q, %v, %v", k, q.Raw.Get(), q.Title.Get(), q.Part.Get())
		}
	}, 1, 4)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}
