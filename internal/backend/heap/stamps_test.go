package heap_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/state"
)

// stamped has what version 2 of the form is for.
type stamped struct {
	Count state.Value[int64]       `state:"count,ttl=1h"`
	Tags  state.Value[[]string]    `state:"tags,ttl=90s,clock=event"`
	Pages state.Map[string, int32] `state:"pages,ttl=1h,refresh=read"`
	Log   state.List[[2]uint8]     `state:"log,ttl=24h"`
	Due   state.Timers             `timer:"due"`
	Poll  state.Timers             `timer:"poll,processing"`
	Idle  state.Timer              `timer:"idle"`
	Name  state.Value[string]      `state:"name,default=none"`
}

func (p *stamped) dump() string {
	s := fmt.Sprint(p.Count.Get(), p.Tags.Get(), p.Name.Get())
	for k, v := range p.Pages.All() {
		s += fmt.Sprint(" ", k, "=", v)
	}
	for e := range p.Log.All() {
		s += fmt.Sprint(" ", e)
	}
	for at := range p.Due.All() {
		s += fmt.Sprint(" ", at)
	}
	at, ok := p.Idle.Deadline()
	return s + fmt.Sprint(p.Poll.Len(), at, ok)
}

const golden2Time = 1_700_000_000_000

// stampedState returns a snapshot of a few keys, and what they hold; one more key has expired.
func stampedState(t testing.TB) (k snapshot.Keyed, b []byte, dumps map[string]string) {
	var p stamped
	s := open(t, &p, 0, 1, keyhash.String)
	dumps = map[string]string{}
	s.SetTime(golden2Time - 3_600_000)
	at(s, keyhash.String, func(string) { p.Count.Set(1); p.Pages.Put("old", 1); p.Pages.Put("older", 1) }, "ATL", "BOS", "gone")
	s.SetTime(golden2Time)
	for i, key := range []string{"ATL", "BOS", "CLT", ""} {
		record := int64(i) * 1000
		s.SetEventTime(math.MinInt64, &record)
		at(s, keyhash.String, func(string) {
			if i%2 == 1 {
				p.Count.Set(int64(i) - 1)
				p.Tags.Set([]string{"x", key})
			}
			for n := range i {
				p.Pages.Put(fmt.Sprint("page", n), int32(n))
				p.Log.Append([2]uint8{1, uint8(n)})
				p.Due.AtMillis(int64(n) * 1_000_000)
				p.Poll.AtMillis(golden2Time + int64(n))
			}
			p.Idle.AtMillis(int64(i))
			dumps[key] = p.dump()
		}, key)
	}
	k, b = write(t, s.Capture())
	return k, b, dumps
}

func restoreStamped(t testing.TB, k snapshot.Keyed, b []byte) (*stamped, *heap.Store[string], error) {
	var p stamped
	s := open(t, &p, 0, 1, keyhash.String)
	s.SetTime(golden2Time)
	return &p, s, s.Restore(k, bytes.NewReader(b))
}

// The golden file is format version 2: it must be read forever, and this is what is written.
func TestGoldenStamps(t *testing.T) {
	k, b, dumps := stampedState(t)
	k, b = goldenStream(t, "keyed-v2.bin", k, b)
	p, s, err := restoreStamped(t, k, b)
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != len(dumps) {
		t.Errorf("%d keys, want %d", s.Len(), len(dumps))
	}
	for key, want := range dumps {
		at(s, keyhash.String, func(string) {
			if got := p.dump(); got != want {
				t.Errorf("%q: %s, want %s", key, got, want)
			}
		}, key)
	}
}

// What a program does not use of version 2 it does not pay for: its streams are of version 1.
func TestPlainStateIsOfVersion1(t *testing.T) {
	_, plain, _ := filled(t)
	_, withStamps, _ := stampedState(t)
	if v := plain[8]; v != 1 {
		t.Errorf("state without stamps is of version %d", v)
	}
	if v := withStamps[8]; v != 2 {
		t.Errorf("state with stamps is of version %d", v)
	}
}

// A stream with stamps that was cut is damage, and no byte changed in it makes Restore or Scan panic.
func TestDamagedStamps(t *testing.T) {
	k, b, _ := stampedState(t)
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= []byte{1, 0x80, 0xff}[i%3]
		_, _, _ = scan(k, damaged)
		if _, s, err := restoreStamped(t, k, damaged); err == nil {
			s.Sweep(1000)
		}
		if i%4 > 0 {
			continue
		}
		if _, _, err := restoreStamped(t, k, b[:i]); !errors.Is(err, keyed.ErrCorrupt) && !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("cut to %d of %d bytes: restore says %v", i, len(b), err)
		}
		if _, _, err := scan(k, b[:i]); !errors.Is(err, keyed.ErrCorrupt) && !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("cut to %d of %d bytes: scan says %v", i, len(b), err)
		}
	}
}

// FuzzStamps restores and scans arbitrary bytes: what can be restored can be scanned, used and written.
func FuzzStamps(f *testing.F) {
	k, b, _ := stampedState(f)
	f.Add(append(appendHandle(nil, k), b...))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, b, err := parseHandle(file)
		if err != nil || k.Written.First < 0 || k.Written.Last >= maxParallelism {
			return
		}
		_, _, scanErr := scan(k, b)
		p, s, err := restoreStamped(t, k, b)
		defer s.Close()
		if err != nil {
			return
		}
		if scanErr != nil {
			t.Fatalf("it can be restored, but not scanned: %v", scanErr)
		}
		at(s, keyhash.String, func(string) { p.dump() }, "ATL", "BOS", "x")
		s.Sweep(1000)
		write(t, s.Capture())
	})
}

// What has no date never ends, and no pair of times overflows.
func TestExpired(t *testing.T) {
	ttl := heap.TTL{After: time.Second}
	for _, c := range []struct {
		written, now int64
		over         bool
	}{
		{0, 999, false}, {0, 1000, true}, {-500, 499, false}, {-500, 500, true},
		{5000, 0, false}, {math.MaxInt64, math.MinInt64, false}, {math.MinInt64 + 2, math.MaxInt64, true},
		{math.MinInt64 + 1, math.MaxInt64, false}, // not dated
	} {
		if got := ttl.Expired(c.written, c.now); got != c.over {
			t.Errorf("written at %d, at %d: %v", c.written, c.now, got)
		}
	}
}
