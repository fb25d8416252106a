package heap_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

// grown is an increment on what filled returns, with every kind of change, and the state of each key after it.
func grown(t testing.TB) (base, increment link, dumps map[string]string) {
	var p everything
	return grownIn(t, &p, openTracking(t, &p, keyhash.String))
}

// grownIn is grown, made by a store.
func grownIn(t testing.TB, p *everything, s *heap.Store[string]) (base, increment link, dumps map[string]string) {
	k, b, dumps := filled(t)
	base = link{k, b}
	restore(t, s, []link{base}, k.Written)
	epoch, ok := s.Restored()
	if !ok {
		t.Fatal("the chain cannot go on")
	}
	at(s, keyhash.String, func(string) {
		p.Count.Set(1234)
		p.Pages.Put("first", 1)
		p.Pages.Put("second", 2)
		p.Groups.Clear()
		p.Groups.Put([2]int16{1, 2}, []string{"c"})
		p.Recent.Append(99)
		p.Idle.AtMillis(77)
	}, "ATL", "fresh")
	at(s, keyhash.String, func(string) { p.clear() }, "BOS")
	at(s, keyhash.String, func(string) {
		p.Pages.Clear()
		p.Words.Set([]string{"anew"})
		p.Poll.Clear()
	}, "CHI")
	dumps["fresh"] = ""
	for key := range dumps {
		at(s, keyhash.String, func(string) { dumps[key] = p.dump() }, key)
	}
	k, b = write(t, s.CaptureSince(epoch))
	return base, link{k, b}, dumps
}

// The golden file is an increment of format version 1, on the golden file of streams: it must be read forever, and this is what is written.
func TestGoldenIncrement(t *testing.T) {
	base, increment, dumps := grown(t)
	k, b := goldenStream(t, "increment-v1.bin", increment.keyed, increment.bytes)
	k.Increment = true
	var p everything
	s := open(t, &p, 0, 1, keyhash.String)
	restore(t, s, []link{base, {k, b}}, k.Written)
	for key, want := range dumps {
		at(s, keyhash.String, func(string) {
			if got := p.dump(); got != want {
				t.Errorf("key %s is %q, want %q", key, got, want)
			}
		}, key)
	}
}

// An increment of arbitrary bytes fails or gives a store that works, and what can be restored can be scanned.
func FuzzIncrement(f *testing.F) {
	base, increment, _ := grown(f)
	f.Add(append(appendHandle(nil, increment.keyed), increment.bytes...))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, b, err := parseHandle(file)
		if err != nil || k.Written != base.keyed.Written {
			return
		}
		k.Increment = true
		chain, readers := []snapshot.Keyed{base.keyed, k}, []io.ReaderAt{bytes.NewReader(base.bytes), bytes.NewReader(b)}
		scan, scanErr := keyed.NewScanChain(chain, maxParallelism, keyhash.Name, keygroup.GroupRule, readers)
		if scanErr == nil {
			scanErr = scan.Rows(func(keyed.Row) error { return nil })
		}
		var p everything
		s := open(t, &p, 0, 1, keyhash.String)
		defer s.Close()
		restore(t, s, []link{base}, base.keyed.Written)
		if err := s.Restore(k, bytes.NewReader(b)); err != nil {
			return
		}
		if scanErr != nil {
			t.Fatalf("it can be restored, but not scanned: %v", scanErr)
		}
		at(s, keyhash.String, func(string) { p.dump(); p.clear() }, "ATL", "BOS", "fresh")
		write(t, s.Capture())
	})
}

// Rows that are copied as they lie in memory, in a chain: keys that change, come, go and come again are as a map has them. With every byte
// of the increment changed and every length cut, a restore does not panic.
func TestPackedIncrements(t *testing.T) {
	type counter struct{ Count, Max state.Value[int32] }
	var p counter
	s := openTracking(t, &p, hashInt)
	rnd := rand.New(rand.NewPCG(7, 8))
	model := map[int64]int32{}
	var chain []link
	var epoch heap.Epoch
	for round := range 20 {
		for range 40 {
			keys := make([]int64, 50)
			for i := range keys {
				keys[i] = rnd.Int64N(5000)
			}
			gone := rnd.IntN(3) == 0
			at(s, hashInt, func(k int64) {
				if gone {
					p.Count.Clear()
					p.Max.Clear()
					delete(model, k)
					return
				}
				p.Count.Set(p.Count.Get() + 1)
				p.Max.Set(int32(round))
				model[k] = p.Count.Get()
			}, keys...)
		}
		c := s.CaptureSince(epoch)
		if c.IsIncrement() != (round > 0) {
			t.Fatalf("round %d: increment %v", round, c.IsIncrement())
		}
		epoch = c.Epoch()
		s.Confirmed(epoch)
		k, b := write(t, c)
		chain = append(chain, link{k, b})
	}
	var q counter
	r := open(t, &q, 0, 1, hashInt)
	restoreInts := func(r *heap.Store[int64], chain []link) error {
		for _, l := range chain {
			if err := r.Restore(l.keyed, bytes.NewReader(l.bytes)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := restoreInts(r, chain); err != nil {
		t.Fatal(err)
	}
	if r.Len() != len(model) {
		t.Errorf("%d rows, want %d", r.Len(), len(model))
	}
	for k := range int64(5000) {
		at(r, hashInt, func(int64) {
			if got := q.Count.Get(); got != model[k] {
				t.Errorf("key %d is %d, want %d", k, got, model[k])
			}
		}, k)
	}
	last := chain[len(chain)-1]
	for i := 0; i < len(last.bytes); i += 1 + len(last.bytes)/500 {
		damaged := link{last.keyed, bytes.Clone(last.bytes)}
		damaged.bytes[i] ^= 0xff
		cut := link{last.keyed, last.bytes[:i]}
		for _, l := range []link{damaged, cut} {
			var q counter
			r := open(t, &q, 0, 1, hashInt)
			_ = restoreInts(r, []link{chain[0], l})
			r.Close()
		}
	}
}
