package heap_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

const maxParallelism = 16

// open makes a store for a subtask with its handles in *processor.
func open[K comparable](t testing.TB, processor any, subtask, parallelism int, hash func(K) uint64) *heap.Store[K] {
	t.Helper()
	return openAt(t, processor, nil, subtask, parallelism, hash)
}

// openLists is open for one subtask, which may also have state of its own.
func openLists[K comparable](t testing.TB, processor any, lists *heap.OperatorLists, hash func(K) uint64) *heap.Store[K] {
	t.Helper()
	return openAt(t, processor, lists, 0, 1, hash)
}

func openAt[K comparable](t testing.TB, processor any, lists *heap.OperatorLists, subtask, parallelism int, hash func(K) uint64) *heap.Store[K] {
	t.Helper()
	l, err := heap.NewLayout(reflect.TypeFor[K]())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.BindWith(lists, processor); err != nil {
		t.Fatal(err)
	}
	s, err := heap.NewStore(l, keygroup.RangeOf(subtask, parallelism, maxParallelism), maxParallelism, func(k *K) uint64 { return hash(*k) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func hashInt(k int64) uint64 { return keyhash.Uint64(uint64(k)) }

// at calls f with the handles at each of the keys, as one batch.
func at[K comparable](s *heap.Store[K], hash func(K) uint64, f func(K), keys ...K) {
	hashes, refs := make([]uint64, len(keys)), make([]heap.Ref, len(keys))
	for i, k := range keys {
		hashes[i] = hash(k)
	}
	s.Resolve(keys, hashes, refs)
	for i, r := range refs {
		s.Seek(r)
		f(keys[i])
	}
	s.EndBatch()
}

func write(t testing.TB, c *heap.Capture) (snapshot.Keyed, []byte) {
	t.Helper()
	defer c.Release()
	var b bytes.Buffer
	k, err := c.Write(&b)
	if err != nil {
		t.Fatal(err)
	}
	if k.End != int64(b.Len()) {
		t.Fatalf("%d bytes were written, End is %d", b.Len(), k.End)
	}
	return k, b.Bytes()
}

// everything has a state of every class and kind.
type everything struct {
	Count  state.Value[int64]            `state:"count"`
	Flag   state.Value[bool]             `state:"flag"`
	Name   state.Value[string]           `state:"name"`
	Tags   state.Value[[]string]         `state:"tags"`
	Pages  state.Map[string, int32]      `state:"pages"`
	Groups state.Map[[2]int16, []string] `state:"groups"`
	Recent state.List[int64]             `state:"recent"`
	Words  state.List[string]            `state:"words"`
	Idle   state.Timer                   `timer:"idle,event"`
	Poll   state.Timer                   `timer:"poll,processing"`
}

// dump returns the whole state of the present key as text.
func (p *everything) dump() string {
	var b strings.Builder
	fmt.Fprint(&b, p.Count.Get(), p.Flag.Get(), p.Name.Get(), p.Tags.Get())
	for k, v := range p.Pages.All() {
		fmt.Fprint(&b, " ", k, ":", v)
	}
	for k, v := range p.Groups.All() {
		fmt.Fprint(&b, " ", k, ":", v)
	}
	fmt.Fprint(&b, slices.Collect(p.Recent.All()), slices.Collect(p.Words.All()))
	for _, timer := range []*state.Timer{&p.Idle, &p.Poll} {
		if d, ok := timer.Deadline(); ok {
			fmt.Fprint(&b, " ", timer.Name(), d.UnixMilli())
		}
	}
	return b.String()
}

// nothing is the dump of a key without state.
func (*everything) nothing() string { return "0 false[][] []" }

// change does something to a state of the present key. It sets no zero: only what is cleared is looked at again when the batch ends, so a
// key whose last state was set to zero would still be there.
func (p *everything) change(rnd *rand.Rand) {
	x := rnd.Int64N(1000)
	word := fmt.Sprint("w", x%30)
	switch rnd.IntN(16) {
	case 0:
		p.Count.Set(x + 1)
	case 1:
		p.Flag.Set(true)
	case 2:
		p.Name.Set(word)
	case 3:
		p.Tags.Set(append(p.Tags.Get(), word))
	case 4, 5:
		p.Pages.Put(word, int32(x))
	case 6:
		p.Pages.Delete(word)
	case 7:
		p.Groups.Put([2]int16{int16(x % 7), 3}, []string{word})
	case 8, 9:
		p.Recent.Append(x)
	case 10:
		p.Words.Append(word, "and", word)
	case 11:
		p.Idle.AtMillis(x * 1000)
	case 12:
		p.Poll.AtMillis(x)
	case 13:
		p.Idle.Clear()
		p.Recent.Clear()
		p.Pages.Clear()
	case 14:
		p.clear()
	case 15:
		p.Words.Set([]string{word})
	}
}

func (p *everything) clear() {
	p.Count.Clear()
	p.Flag.Clear()
	p.Name.Clear()
	p.Tags.Clear()
	p.Pages.Clear()
	p.Groups.Clear()
	p.Recent.Clear()
	p.Words.Clear()
	p.Idle.Clear()
	p.Poll.Clear()
}

// A store of every kind of state is changed at random and captured, and each capture is written by a goroutine while changes go on. What it
// has written, restored at another parallelism, must be the state at the moment of the capture. Under the race detector this also shows
// that writer and subtask are never at the same page. Some captures are abandoned, before, during and after the writing.
func TestCaptureIsTheStateOfItsMoment(t *testing.T) {
	var p everything
	s := open(t, &p, 0, 1, keyhash.String)
	rnd := rand.New(rand.NewPCG(3, 4))
	model := map[string]string{}
	step := func() {
		var keys []string
		for range 64 {
			keys = append(keys, fmt.Sprint("key-", rnd.IntN(600)))
		}
		at(s, keyhash.String, func(string) { p.change(rnd) }, keys...)
		at(s, keyhash.String, func(k string) { model[k] = p.dump() }, keys...)
	}
	for round := range 12 {
		for range 20 {
			step()
		}
		want := maps.Clone(model)
		c := s.Capture()
		if round%4 == 1 {
			c.Release()
		}
		done := make(chan error)
		var k snapshot.Keyed
		var b bytes.Buffer
		go func() {
			var err error
			k, err = c.Write(&b)
			done <- err
		}()
		writing := true
		for writing {
			step()
			if round%4 == 3 {
				c.Release()
			}
			select {
			case err := <-done:
				writing = false
				if err != nil && !errors.Is(err, heap.ErrReleased) || err == nil && round%4 == 1 {
					t.Fatalf("round %d: %v", round, err)
				}
				if err == nil {
					sameState(t, want, k, b.Bytes())
				}
			default:
			}
		}
		c.Release()
	}
}

// sameState restores a snapshot on three subtasks and compares it with the dumps of all keys.
func sameState(t *testing.T, want map[string]string, k snapshot.Keyed, b []byte) {
	t.Helper()
	keysLeft := 0
	for subtask := range 3 {
		var p everything
		s := open(t, &p, subtask, 3, keyhash.String)
		cut := k
		cut.Range = k.Range.Intersect(keygroup.RangeOf(subtask, 3, maxParallelism))
		if err := s.Restore(cut, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		keysLeft += s.Len()
		for key, dump := range want {
			if !cut.Range.Contains(keygroup.Of(keyhash.String(key), maxParallelism)) {
				continue
			}
			at(s, keyhash.String, func(string) {
				if got := p.dump(); got != dump {
					t.Fatalf("key %s: restored %s, want %s", key, got, dump)
				}
			}, key)
		}
		s.Close()
	}
	none := 0
	var p everything
	s := open(t, &p, 0, 1, keyhash.String)
	at(s, keyhash.String, func(string) {
		for _, dump := range want {
			if dump == p.dump() {
				none++
			}
		}
	}, "new")
	if keysLeft < len(want)-none || keysLeft > len(want) { // a row that Set has made zero may still be there
		t.Errorf("%d keys were restored, want %d of %d", keysLeft, len(want)-none, len(want))
	}
}

// Several captures are written at once, each slower than the changes that go on. Each holds the state of its own moment, whichever ends
// first, also when another is given up.
func TestCapturesOverlap(t *testing.T) {
	var p everything
	s := open(t, &p, 0, 1, keyhash.String)
	rnd := rand.New(rand.NewPCG(5, 6))
	model := map[string]string{}
	step := func() {
		var keys []string
		for range 16 {
			keys = append(keys, fmt.Sprint("key-", rnd.IntN(500)))
		}
		at(s, keyhash.String, func(string) { p.change(rnd) }, keys...)
		at(s, keyhash.String, func(k string) { model[k] = p.dump() }, keys...)
	}
	type written struct {
		c    *heap.Capture
		want map[string]string
		k    snapshot.Keyed
		b    steps
		err  error
		done chan struct{}
	}
	var writing []*written
	end := func(i int) {
		o := writing[i]
		writing = slices.Delete(writing, i, i+1)
		close(o.b.more)
		<-o.done
		o.c.Release()
		if o.err != nil {
			t.Fatal(o.err)
		}
		sameState(t, o.want, o.k, o.b.Bytes())
	}
	for range 25 {
		for range 40 {
			step()
			if n := len(writing); n > 0 && rnd.IntN(60) == 0 {
				select {
				case writing[rnd.IntN(n)].b.more <- struct{}{}: // it begins, or goes a little further
				default:
				}
			}
		}
		o := &written{c: s.Capture(), want: maps.Clone(model), b: steps{more: make(chan struct{})}, done: make(chan struct{})}
		go func() {
			<-o.b.more // most is changed before the first page is read
			o.k, o.err = o.c.Write(&o.b)
			close(o.done)
		}()
		if writing = append(writing, o); len(writing) == 4 {
			if i := rnd.IntN(4); rnd.IntN(4) == 0 {
				given := writing[i]
				given.c.Release()
				close(given.b.more)
				<-given.done
				writing = slices.Delete(writing, i, i+1)
			} else {
				end(i)
			}
		}
	}
	for len(writing) > 0 {
		end(rnd.IntN(len(writing)))
	}
}

// steps is an output that takes no more before it is told to go on, and anything once that is closed.
type steps struct {
	bytes.Buffer
	more chan struct{}
}

func (s *steps) Write(p []byte) (int, error) {
	<-s.more
	return s.Buffer.Write(p)
}

// The same with packed rows in large numbers: the first of two captures is held up in its Write while all is changed.
func TestCapturesOverlapPacked(t *testing.T) {
	var p struct{ Count state.Value[int64] }
	s := open(t, &p, 0, 1, hashInt)
	var keys []int64
	for k := range int64(100_000) {
		keys = append(keys, k)
	}
	add := func(int64) { p.Count.Set(p.Count.Get() + 1) }
	at(s, hashInt, add, keys...)
	first := s.Capture()
	out := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	ended := make(chan error)
	var k1 snapshot.Keyed
	go func() { var err error; k1, err = first.Write(out); ended <- err }()
	<-out.entered
	at(s, hashInt, add, keys[:50_000]...)
	second := s.Capture()
	at(s, hashInt, add, keys...)
	close(out.open)
	if err := <-ended; err != nil {
		t.Errorf("the first Write: %v", err)
	}
	first.Release()
	at(s, hashInt, add, keys...)
	k2, b2 := write(t, second)
	check := func(k snapshot.Keyed, b []byte, want func(key int64) int64) {
		var q struct{ Count state.Value[int64] }
		r := open(t, &q, 0, 1, hashInt)
		if err := r.Restore(k, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		at(r, hashInt, func(key int64) {
			if q.Count.Get() != want(key) {
				t.Fatalf("key %d: %d, want %d", key, q.Count.Get(), want(key))
			}
		}, keys...)
	}
	check(k1, out.Bytes(), func(int64) int64 { return 1 })
	check(k2, b2, func(key int64) int64 {
		if key < 50_000 {
			return 2
		}
		return 1
	})
}

// gate holds up the first write until it is opened.
type gate struct {
	bytes.Buffer
	entered, open chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	select {
	case <-g.open:
	default:
		close(g.entered)
		<-g.open
	}
	return g.Buffer.Write(p)
}

// A store may be closed while a capture is written: the memory stays until the capture is released.
func TestCaptureOutlivesStore(t *testing.T) {
	var p struct{ Count state.Value[int64] }
	s := open(t, &p, 0, 1, hashInt)
	var keys []int64
	for k := range int64(300_000) {
		keys = append(keys, k)
	}
	at(s, hashInt, func(k int64) { p.Count.Set(k + 1) }, keys...)
	c := s.Capture()
	s.Close()
	if k, b := write(t, c); int64(len(b)) != k.End || len(b) < 300_000*16 {
		t.Errorf("%d bytes", len(b))
	}
	if _, err := c.Write(&bytes.Buffer{}); !errors.Is(err, heap.ErrReleased) {
		t.Errorf("Write after Release: %v", err)
	}
}

// The synchronous part does not grow with the state.
func TestCaptureIsShort(t *testing.T) {
	var p struct{ Count state.Value[int64] }
	s := open(t, &p, 0, 1, hashInt)
	var keys []int64
	for k := range int64(200_000) {
		keys = append(keys, k)
	}
	at(s, hashInt, func(k int64) { p.Count.Set(1) }, keys...)
	best := time.Hour
	for range 20 {
		begin := time.Now()
		c := s.Capture()
		best = min(best, time.Since(begin))
		c.Release()
	}
	if best > 200*time.Microsecond {
		t.Errorf("a capture of 200 000 keys took %v at best", best)
	}
}

// The same for rows that are copied as they lie in memory, with tables that grow from nothing over many pages while they are captured and
// keys that come and go.
func TestPackedCaptureWhileGrowing(t *testing.T) {
	var p struct{ Count, Max state.Value[int64] }
	s := open(t, &p, 0, 1, hashInt)
	rnd := rand.New(rand.NewPCG(5, 6))
	model := map[int64]int64{}
	keys := make([]int64, 512)
	step := func() {
		top := int64(len(model)*2 + 1000)
		for i := range keys {
			keys[i] = rnd.Int64N(top)
		}
		at(s, hashInt, func(k int64) {
			if p.Count.Get() != model[k] {
				t.Fatalf("key %d: %d, want %d", k, p.Count.Get(), model[k])
			}
			if k%3 == 0 && model[k] > 1 {
				p.Count.Clear()
				p.Max.Clear()
				delete(model, k)
				return
			}
			p.Count.Set(p.Count.Get() + 1)
			p.Max.Set(k)
			model[k]++
		}, keys...)
	}
	for range 8 {
		for range 5 {
			step()
		}
		want := maps.Clone(model)
		c := s.Capture()
		type result struct {
			k   snapshot.Keyed
			b   []byte
			err error
		}
		done := make(chan result)
		go func() {
			var b bytes.Buffer
			k, err := c.Write(&b)
			c.Release()
			done <- result{k, b.Bytes(), err}
		}()
		var r result
		for writing := true; writing; {
			step()
			select {
			case r = <-done:
				writing = false
			default:
			}
		}
		if r.err != nil {
			t.Fatal(r.err)
		}
		var q struct{ Count, Max state.Value[int64] }
		restored := open(t, &q, 0, 1, hashInt)
		if err := restored.Restore(r.k, bytes.NewReader(r.b)); err != nil {
			t.Fatal(err)
		}
		if restored.Len() != len(want) {
			t.Errorf("%d keys were restored, want %d", restored.Len(), len(want))
		}
		all := slices.Collect(maps.Keys(want))
		at(restored, hashInt, func(k int64) {
			if q.Count.Get() != want[k] || q.Max.Get() != k {
				t.Fatalf("key %d: restored %d, want %d", k, q.Count.Get(), want[k])
			}
		}, all...)
		restored.Close()
	}
}
