package heap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

// formFiles is where the golden files of streams lie, whose form is that package's.
var formFiles = filepath.Join("..", "keyed", "testdata")

// filled returns a snapshot of a few keys with all kinds of state.
func filled(t testing.TB) (k snapshot.Keyed, b []byte, dumps map[string]string) {
	var p everything
	s := open(t, &p, 0, 1, keyhash.String)
	dumps = map[string]string{}
	for i, key := range []string{"ATL", "BOS", "a key that is longer than most", ""} {
		at(s, keyhash.String, func(string) {
			p.Count.Set(int64(i) - 1)
			p.Flag.Set(i%2 == 0)
			p.Name.Set(strings.Repeat("é", i))
			p.Tags.Set([]string{"x", key})
			for n := range i {
				p.Pages.Put(fmt.Sprint("page", n), int32(n))
				p.Recent.Append(int64(n), int64(-n))
			}
			p.Groups.Put([2]int16{1, -1}, nil)
			p.Words.Append(key)
			p.Idle.AtMillis(int64(i) * 1_000_000)
			p.Poll.AtMillis(-1)
			dumps[key] = p.dump()
		}, key)
	}
	k, b = write(t, s.Capture())
	return k, b, dumps
}

// The golden file is format version 1: it must be read forever, and as long as version 1 is written, this is what is written.
func TestGolden(t *testing.T) {
	k, b, dumps := filled(t)
	k, b = goldenStream(t, "keyed-v1.bin", k, b)
	sameState(t, dumps, k, b)
}

// goldenStream compares a stream with a golden file, having rewritten that if asked to, and returns what the file has.
func goldenStream(t *testing.T, name string, k snapshot.Keyed, stream []byte) (snapshot.Keyed, []byte) {
	t.Helper()
	path := filepath.Join(formFiles, name)
	file := append(appendHandle(nil, k), stream...)
	if *update {
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, want) {
		t.Errorf("the form has changed: %d bytes, want %d; see docs/formats/keyed.md", len(file), len(want))
	}
	k, stream, err = parseHandle(want)
	if err != nil {
		t.Fatal(err)
	}
	return k, stream
}

// goldenText compares a text with a golden file, having rewritten that if asked to.
func goldenText(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("got\n%swant what %s has, %v", got, path, err)
	}
}

// goldenStore compares all that a byte store holds, as text, with a file of testdata, and returns a store made of that text.
func goldenStore(t *testing.T, name string, under backend.Store) backend.Store {
	t.Helper()
	it, err := under.Scan(backend.Groups{First: 0, Last: maxParallelism - 1}.Keys())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for it.Next() {
		fmt.Fprintf(&text, "%x = %x\n", it.Key(), it.Value())
	}
	it.Close()
	goldenText(t, name, text.String())

	var b backend.Batch
	for line := range strings.Lines(text.String()) {
		var key, value []byte
		if n, _ := fmt.Sscanf(line, "%x = %x", &key, &value); n == 0 {
			t.Fatal(line)
		}
		b.Put(key, value)
	}
	again := openUnder(t)
	if err := again.Apply(&b); err != nil {
		t.Fatal(err)
	}
	return again
}

// appendHandle puts a handle before its stream, so that one file holds both.
func appendHandle(dst []byte, k snapshot.Keyed) []byte {
	for _, x := range []int{k.Written.First, k.Written.Last, int(k.Header), int(k.End)} {
		dst = binary.AppendVarint(dst, int64(x))
	}
	for _, off := range k.Offsets {
		dst = binary.AppendVarint(dst, off)
	}
	return dst
}

func parseHandle(src []byte) (k snapshot.Keyed, stream []byte, err error) {
	next := func() int64 {
		x, n := binary.Varint(src)
		if n <= 0 {
			err = errors.New("cut short")
			return 0
		}
		src = src[n:]
		return x
	}
	k.Written = keygroup.Range{First: int(next()), Last: int(next())}
	k.Range = k.Written
	k.Header, k.End = next(), next()
	if k.Written.Len() > maxParallelism {
		err = errors.New("too many groups")
	}
	for i := 0; i < k.Written.Len() && err == nil; i++ {
		k.Offsets = append(k.Offsets, next())
	}
	return k, src, err
}

// Restore of arbitrary bytes fails or gives a store that works: it can be used and written. It never panics.
func FuzzRestore(f *testing.F) {
	k, b, _ := filled(f)
	f.Add(append(appendHandle(nil, k), b...))
	var c struct{ Count state.Value[int64] }
	s := open(f, &c, 0, 1, keyhash.String)
	at(s, keyhash.String, func(string) { c.Count.Set(7) }, "a", "b", "c")
	k, b = write(f, s.Capture())
	f.Add(append(appendHandle(nil, k), b...))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, b, err := parseHandle(file)
		if err != nil {
			return
		}
		var p everything
		s := open(t, &p, 0, 1, keyhash.String)
		defer s.Close()
		if err := s.Restore(k, bytes.NewReader(b)); err != nil {
			return
		}
		at(s, keyhash.String, func(string) { p.dump(); p.clear() }, "ATL", "BOS", "x")
		write(t, s.Capture())
	})
}

// The same for rows that are copied as they lie in memory, with every byte of a snapshot changed and with every length cut.
func TestDamagedRows(t *testing.T) {
	type counter struct{ Count, Max state.Value[int32] }
	var p counter
	s := open(t, &p, 0, 1, hashInt)
	at(s, hashInt, func(k int64) { p.Count.Set(int32(k)) }, 1, 2, 3, 4, 5, 6, 7, 8)
	k, b := write(t, s.Capture())
	restore := func(k snapshot.Keyed, b []byte) error {
		var p counter
		s := open(t, &p, 0, 1, hashInt)
		defer s.Close()
		return s.Restore(k, bytes.NewReader(b))
	}
	for i := range b {
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := bytes.Clone(b)
			damaged[i] ^= flip
			_ = restore(k, damaged) // values have no redundancy; it must not panic
		}
		if err := restore(k, b[:i]); !errors.Is(err, keyed.ErrCorrupt) {
			t.Errorf("cut to %d of %d bytes: %v", i, len(b), err)
		}
	}
	k.Offsets[3], k.Offsets[4] = k.End+1, k.End+2
	if err := restore(k, b); !errors.Is(err, keyed.ErrCorrupt) {
		t.Errorf("offsets behind the end: %v", err)
	}
}

// What does not fit is refused with an error that names state, field and both types; what is new begins empty.
func TestChangedProgram(t *testing.T) {
	type place struct {
		Name string
		X    int32
	}
	type oldPlace struct {
		Name string
		X    int64
	}
	var old struct {
		Count state.Value[int64]
		Place state.Value[oldPlace]
		Seen  state.Map[string, int32]
		Idle  state.Timer `timer:"idle,event"`
	}
	s := open(t, &old, 0, 1, hashInt)
	at(s, hashInt, func(k int64) { old.Count.Set(k); old.Seen.Put("a", 1) }, 1, 2, 3)
	k, b := write(t, s.Capture())

	for name, c := range map[string]struct {
		processor any
		want      []string // in the error; none: it fits
	}{
		"same in another order, and more": {&struct {
			Idle  state.Timer `timer:"idle,event"`
			Seen  state.Map[string, int32]
			More  state.List[string]
			Place state.Value[oldPlace]
			Total state.Value[int64] `state:"count"`
		}{}, nil},
		"type": {&struct {
			Count state.Value[string]
			Place state.Value[place]
			Seen  state.Map[int64, int64]
			Idle  state.Timer `timer:"idle,event"`
		}{}, []string{
			`state "count" (field Count): value: was int64, is now string`,
			`state "place" (field Place): field X: was int64, is now int32`,
			`state "seen" (field Seen), keys of the map: value: was string, is now int64`,
		}},
		"kind and domain": {&struct {
			Count state.List[int64]
			Place state.Value[oldPlace]
			Seen  state.Map[string, int32]
			Idle  state.Timer `timer:"idle,processing"`
		}{}, []string{
			`state "count" (field Count): was value "count" of int64, is now list "count" of int64`,
			`was event-time timer "idle", is now processing-time timer "idle"`,
		}},
		"gone": {&struct{ Count state.Value[int64] }{}, []string{
			"the snapshot holds states that the program does not", `map "seen" from string to int32`, `the program has value "count" of int64`,
		}},
	} {
		r := open(t, c.processor, 0, 1, hashInt)
		err := r.Restore(k, bytes.NewReader(b))
		if c.want == nil && (err != nil || r.Len() != 3) {
			t.Errorf("%s: %d keys, error %v", name, r.Len(), err)
		}
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %v\ndoes not say %s", name, err, part)
			}
		}
		if c.want != nil && !permanent(err) {
			t.Errorf("%s: a job would restart after %v", name, err)
		}
	}

	var c struct{ Count state.Value[int64] }
	r := open(t, &c, 0, 1, keyhash.String)
	if err := r.Restore(k, bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), "the snapshot's key is int64, the program's is string") {
		t.Errorf("another key: %v", err)
	}
	var mismatch *codec.MismatchError
	if err := r.Restore(k, bytes.NewReader(b)); !errors.As(err, &mismatch) {
		t.Errorf("another key: %v is no MismatchError", err)
	}
}

// States that the program does not have any more are left behind where that is asked for, whatever their kind, and the others are read
// although they lie between them in the stream.
func TestRestoreDeclared(t *testing.T) {
	k, b, dumps := filled(t)
	var some struct {
		Tags  state.Value[[]string]
		Words state.List[string]
		Poll  state.Timer `timer:"poll,processing"`
	}
	s := open(t, &some, 0, 1, keyhash.String)
	if err := s.RestoreDeclared(k, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if s.Len() != len(dumps) {
		t.Errorf("%d keys, want %d", s.Len(), len(dumps))
	}
	for key := range dumps {
		at(s, keyhash.String, func(string) {
			if got := fmt.Sprint(some.Tags.Get(), slices.Collect(some.Words.All())); got != fmt.Sprint([]string{"x", key}, []string{key}) {
				t.Errorf("key %q has %s", key, got)
			}
			if due, set := some.Poll.Deadline(); !set || due.UnixMilli() != -1 {
				t.Errorf("key %q is due at %v, %v", key, due, set)
			}
		}, key)
	}

	var none struct{}
	s = open(t, &none, 0, 1, keyhash.String)
	if err := s.RestoreDeclared(k, bytes.NewReader(b)); err != nil || s.Len() != len(dumps) {
		t.Errorf("without any state: %d keys, %v", s.Len(), err)
	}
	var other struct{ Count state.Value[string] }
	if err := open(t, &other, 0, 1, keyhash.String).RestoreDeclared(k, bytes.NewReader(b)); err == nil || !permanent(err) || strings.Contains(err.Error(), "does not:") {
		t.Errorf("another type: %v", err)
	}
	var own struct{ Count state.Value[int64] }
	for end := range len(b) { // it may be cut anywhere
		short := k
		short.End = min(short.End, int64(end))
		open(t, &own, 0, 1, keyhash.String).RestoreDeclared(short, bytes.NewReader(b[:end]))
	}
}

// Layouts are checked when the job is built, with everything that is wrong in one error.
func TestBindErrors(t *testing.T) {
	type base struct {
		Count state.Value[int] `state:"count"`
	}
	for name, c := range map[string]struct {
		processor any
		want      []string
	}{
		"good": {&struct {
			base
			Config map[string]int
			Other  state.Value[string]
		}{}, nil},
		"no struct": {new(int), []string{"want a pointer to a struct"}},
		"two errors": {&struct {
			base
			A state.Value[int]      `state:"count"`
			B state.Value[chan int] `state:"b"`
			c state.Value[int]
			D *state.Value[int]
			E state.Map[any, int]
		}{}, []string{`the name "count" is taken by field Count`, "field B", "field c: a state field must be exported", "field D: a state field must be a", "field E"}},
		"options": {&struct {
			A state.Value[int] `state:"a,ttl=1us"`
			B state.Value[int] `state:"b,fast"`
			C state.Timer      `timer:"c,wall"`
			D state.Timer      `state:"d"`
		}{}, []string{"a TTL of 1µs: want ttl=<duration>", `unknown option "fast"`, `unknown option "wall"`, "it takes a tag timer, not state"}},
	} {
		l, err := heap.NewLayout(reflect.TypeFor[int64]())
		if err != nil {
			t.Fatal(err)
		}
		err = l.Bind(c.processor)
		if c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %v\ndoes not say %s", name, err, part)
			}
		}
	}
	for _, key := range []any{[]int(nil), new(int), struct{ m map[int]int }{}} {
		if _, err := heap.NewLayout(reflect.TypeOf(key)); err == nil {
			t.Errorf("%T is no key", key)
		}
	}
}

// Keys whose hashes collide in the half that places them must be found, whatever their number, also after others were removed.
func TestCollidingKeys(t *testing.T) {
	var p struct{ Count state.Value[int64] }
	same := func(k int64) uint64 { return uint64(k%2)<<63 | 0xffffffff - uint64(k)%3 }
	s := open(t, &p, 0, 1, same)
	var keys []int64
	for k := range int64(1000) {
		keys = append(keys, k)
	}
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	at(s, same, func(k int64) { p.Count.Set(k + 1) }, keys...)
	at(s, same, func(int64) { p.Count.Clear() }, keys[:500]...)
	at(s, same, func(k int64) {
		if p.Count.Get() != k+1 {
			t.Fatalf("key %d: %d", k, p.Count.Get())
		}
	}, keys[500:]...)
	if s.Len() != 500 {
		t.Errorf("%d keys, want 500", s.Len())
	}
}

// permanent reports whether a job gives up after an error instead of restarting.
func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// Elements of operator lists can be dealt out one by one to other subtasks.
func TestOperatorLists(t *testing.T) {
	type splits struct {
		Open state.List[map[string]int] `state:"open"`
		Done state.List[string]
	}
	var p splits
	var lists heap.OperatorLists
	if err := lists.Bind(&p); err != nil {
		t.Fatal(err)
	}
	p.Open.Append(map[string]int{"a": 1}, nil)
	p.Open.Append(map[string]int{"b": 2})
	data := lists.Capture()
	if len(data) != 1 || data[0].Name != "open" || len(data[0].Offsets) != 3 {
		t.Fatalf("captured %+v", data)
	}
	from := data[0].Offsets[2]
	data[0].Bytes, data[0].Offsets = data[0].Bytes[from:], []int64{0}
	var q splits
	var others heap.OperatorLists
	if err := others.Bind(&q); err != nil {
		t.Fatal(err)
	}
	if err := others.Restore(data); err != nil {
		t.Fatal(err)
	}
	for m := range q.Open.All() {
		if m["b"] != 2 || q.Open.Len() != 1 {
			t.Errorf("restored %v, %d elements", m, q.Open.Len())
		}
	}
	data[0].Name = "done"
	if err := others.Restore(data); err == nil || !strings.Contains(err.Error(), `list state "done": the type of its elements has changed: value: was map[string]int64, is now string`) {
		t.Errorf("another type: %v", err)
	} else if !permanent(err) {
		t.Errorf("a job would restart after %v", err)
	}
	data[0].Name = "gone"
	if err := others.Restore(data); err == nil || !strings.Contains(err.Error(), "open, done") {
		t.Errorf("a list that is gone: %v", err)
	}
	if err := new(heap.OperatorLists).Bind(&everything{}); err == nil || !strings.Contains(err.Error(), "needs a keyed stream") {
		t.Errorf("keyed state on a plain stream: %v", err)
	}
}
